// Package config reads hayauma.toml into one struct tree and says what is wrong with it.
package config

import (
	"net/netip"
	"time"
)

//go:generate go run ../../cmd/gendocs -source config.go -out ../../docs/reference

// The comment above each field is the reference: docs/reference/config.md and
// docs/reference/hayauma.toml.example are generated from it. The tags carry the
// name (toml), the bounds (min, max), the allowed words (oneof), and whether a
// change needs a restart (apply:"restart").

// Config is the whole of hayauma.toml. Every key but hostname is optional.
type Config struct {
	// The name by which this server greets, signs its trace lines and is known
	// in DNS. Required: a wrong guess would make other servers reject our mail.
	Hostname string `toml:"hostname"`

	// The folder of everything that is kept: mail, database, certificates and
	// the socket of the command line. A relative path starts at the folder of
	// the configuration file, so that every command finds the same data.
	DataDir string `toml:"data_dir" apply:"restart"`

	// Where each service listens. Each key is a list of "addr:port"; an empty
	// address means all addresses, IPv4 and IPv6. An empty list turns the
	// service off; a key left out means its standard ports on all addresses.
	Listen Listen `toml:"listen"`

	// Load balancers in front of us.
	Proxy Proxy `toml:"proxy"`

	// The certificate shown to clients and other servers.
	TLS TLS `toml:"tls"`

	// Where names are looked up.
	DNS DNS `toml:"dns"`

	// How users prove who they are.
	Auth Auth `toml:"auth"`

	// How mail is taken from other servers and from our users.
	SMTP SMTP `toml:"smtp"`

	// How much each account may send, so that a stolen password or a program
	// gone wild cannot make other servers refuse the mail of everybody here. Who
	// has reached a limit is put off until there is room again; a restart
	// forgets nothing. An account or a domain can have limits of its own: see
	// 'hayauma account limit' and 'hayauma domain limit'. 0 = no limit.
	Submission Submission `toml:"submission"`

	// Who may send to other servers through us.
	Relay Relay `toml:"relay"`

	// Local mailboxes.
	Mail Mail `toml:"mail"`

	// The way to other servers.
	Outbound Outbound `toml:"outbound"`

	// What other domains are told of the mail that they got from us.
	Reports Reports `toml:"reports"`

	// What peers can make us hold. 0 for connections_per_address or
	// login_failures_per_address also lifts every other limit, delay and ban
	// that counts per address or network.
	Limits Limits `toml:"limits"`

	// How long we wait for a silent peer.
	Timeouts Timeouts `toml:"timeouts"`

	// Mail that waits for other servers.
	Queue Queue `toml:"queue"`

	// What is kept on disk, and for how long.
	Storage Storage `toml:"storage"`

	// What is written to standard error.
	Log Log `toml:"log"`

	origin origin
}

// Listen holds the addresses of each service.
type Listen struct {
	// Mail from other servers.
	SMTP []string `toml:"smtp"`
	// Mail from our users: STARTTLS, then a login. 2525 is for networks that
	// block 587.
	Submission []string `toml:"submission"`
	// Mail from our users over TLS from the first byte.
	Submissions []string `toml:"submissions"`
	// Mail from another server on this machine or network, one reply per
	// recipient. An entry may also be "unix:/path". Off unless asked, since
	// LMTP has no standard port.
	LMTP []string `toml:"lmtp"`
	// Mailboxes over IMAP with STARTTLS.
	IMAP []string `toml:"imap"`
	// Mailboxes over IMAP, TLS from the first byte.
	IMAPS []string `toml:"imaps"`
	// Mailboxes over POP3 with STLS.
	POP3 []string `toml:"pop3"`
	// Mailboxes over POP3, TLS from the first byte.
	POP3S []string `toml:"pop3s"`
	// Health and metrics. Only this machine by default, since metrics are
	// nobody else's business.
	HTTP []string `toml:"http"`
	// The same over TLS. Off unless asked.
	HTTPS []string `toml:"https"`
}

// Proxy names the load balancers.
type Proxy struct {
	// Hosts that speak the PROXY protocol to us, version 1 or 2, on every port:
	// networks like "10.0.0.0/8" or single addresses. A connection from one of
	// them must begin with a PROXY header.
	Networks []netip.Prefix `toml:"networks"`
}

// TLS names the certificate.
type TLS struct {
	// The certificate chain in PEM form. Empty, together with key_file: a
	// self-signed certificate is made once in data_dir/tls.
	CertFile string `toml:"cert_file"`
	// The private key of cert_file in PEM form.
	KeyFile string `toml:"key_file"`
}

// DNS names the resolver.
type DNS struct {
	// The resolver to ask, as "addr" or "addr:port". Empty: those of the system.
	Resolver string `toml:"resolver"`
	// Whether that resolver checks DNSSEC, and the way to it is safe, so that it is
	// believed what is proven. Only say so of one on this machine or in a network of
	// your own. Resolvers of the system are also believed if /etc/resolv.conf has
	// "options trust-ad". "hayauma check" puts the resolver to the proof.
	TrustAD bool `toml:"trust_ad"`
	// A name that is signed: for the proof, the resolver must say that what it
	// answers is proven. Empty: "hayauma check" makes no proof.
	ProofSigned string `toml:"proof_signed"`
	// A name whose signatures are wrong on purpose: for the proof, the resolver must
	// not answer. Empty: "hayauma check" makes no proof.
	ProofBogus string `toml:"proof_bogus"`
	// Networks of your own in which hosts may be asked that other domains name: those
	// of MTA-STS policies, and those that take TLS reports. Anywhere else they must have
	// an address of the Internet, so that no stranger's record leads this server to
	// hosts that only it can reach.
	OwnNetworks []netip.Prefix `toml:"own_networks"`
}

// Auth says how logins are allowed.
type Auth struct {
	// Whether passwords may cross the network without TLS. True only for tests.
	AllowCleartext bool `toml:"allow_cleartext"`
	// Whether SCRAM-SHA-256 is offered. Clients that know it prefer it, and then
	// get in with app passwords, and with passwords that were set by
	// "hayauma account passwd --scram", but with no others.
	SCRAM bool `toml:"scram"`
	// The OpenID issuer whose tokens users may log in with (OAUTHBEARER, XOAUTH2): its
	// URL, as its tokens have it. Empty: none.
	OAuthIssuer string `toml:"oauth_issuer"`
	// For whom a token must have been made out: one of these must be among its
	// audiences. Without that a token for any program of that issuer would do.
	OAuthAudience []string `toml:"oauth_audience"`
	// What of a token names the account.
	OAuthClaim string `toml:"oauth_claim"`
	// A file with the certificates, in PEM form, of those who vouch for the
	// certificates of users. A user whose certificate has the address of an account
	// may log in with it (EXTERNAL). Empty: clients are not asked for certificates,
	// and access rules about them hold for nobody.
	ClientCA string `toml:"client_ca"`
}

// SMTP says how mail is taken.
type SMTP struct {
	// Commands since the last accepted message after which a session is ended:
	// those that were refused, and those that bring no message nearer, like NOOP
	// and RSET. Recipients beyond the limit of one transaction do not count.
	JunkCommands int `toml:"junk_commands" min:"5" max:"100000"`
	// How much longer each refusal takes than the one before, behind the tenth
	// since the last accepted message and up to ten seconds; 0 = not at all. It
	// costs those who guess addresses or passwords their time.
	Tarpit time.Duration `toml:"tarpit" min:"0" max:"10s"`
	// How long we are silent before we greet on port 25. Who speaks meanwhile, or
	// sends more than EHLO before it knows that it may, does not listen to us and
	// is refused: much spam software. 0 = no wait; 3 s is a good start.
	GreetingDelay time.Duration `toml:"greeting_delay" min:"0" max:"1m"`
	// Whether the domain of a sender must exist in DNS, so that an answer could go
	// there. Hosts of relay.networks, and senders of our own domains, are not asked.
	CheckSender bool `toml:"check_sender"`
	// Whether VRFY tells who has a mailbox here. Whoever guesses addresses
	// likes to know.
	VRFY bool `toml:"vrfy"`
	// Hosts that may tell us for whom they speak, by XCLIENT and XFORWARD: networks
	// or single addresses. What they say of a client's address and login is
	// believed, so only filters and proxies of our own belong here.
	Fronts []netip.Prefix `toml:"fronts"`
	// Old hosts, such as printers, that end lines with a bare LF or CR: networks or
	// single addresses. What they send is mended instead of refused. It still ends
	// with CRLF.CRLF alone, so that nothing can be smuggled in or out.
	Normalize []netip.Prefix `toml:"normalize"`
	// The highest priority that those who log in, or may relay without, can ask
	// for by MT-PRIORITY. Above 0 a message overtakes others in the
	// queue: 4 is what the policy MIXER calls urgent. Others may only ask for less
	// than 0. What asks for more is taken with the highest.
	HighestPriority int `toml:"highest_priority" min:"0" max:"9"`
}

// Submission says how much an account may send.
type Submission struct {
	// How long a message that a user sends is kept before it goes out, so that it
	// can be taken back by "hayauma recall"; 0 = not at all. Those with a time of
	// their own (HOLDFOR, HOLDUNTIL) are kept until that.
	Hold time.Duration `toml:"hold" min:"0" max:"1h"`
	// Whether From and Sender, and the newest Resent-From and Resent-Sender, in the
	// header of what a user sends must be addresses that he may send as, like the
	// sender of the envelope: his own, aliases that lead to him, and what "hayauma
	// identity add" gave him.
	CheckFrom bool `toml:"check_from"`
	// Whether the Received field of what a user sends keeps his address and the name
	// of his machine to itself. The history of the message tells them in any case.
	HideClient bool `toml:"hide_client"`
	// Messages within a minute. None by default: a mail program that was
	// offline sends its whole outbox at once, and a minute does no harm.
	MessagesPerMinute int `toml:"messages_per_minute" min:"0" max:"1000000000"`
	// Messages within an hour: more than anybody writes, and than most programs
	// send invoices or notices.
	MessagesPerHour int `toml:"messages_per_hour" min:"0" max:"1000000000"`
	// Messages within a day.
	MessagesPerDay int `toml:"messages_per_day" min:"0" max:"1000000000"`
	// Recipients of all messages within a minute. None by default, like
	// messages_per_minute.
	RecipientsPerMinute int `toml:"recipients_per_minute" min:"0" max:"1000000000"`
	// Recipients within an hour. A message to more of them than this is never
	// sent whole; what one message may have is limits.recipients.
	RecipientsPerHour int `toml:"recipients_per_hour" min:"0" max:"1000000000"`
	// Recipients within a day. Large providers let one account have about as
	// many.
	RecipientsPerDay int `toml:"recipients_per_day" min:"0" max:"1000000000"`
	// Recipients within a day that the account has not written to in the last 30
	// days. Who sends spam writes to strangers, who runs a club or a shop to
	// people who are mostly known. While this is 0, nothing is remembered of
	// them.
	NewRecipientsPerDay int `toml:"new_recipients_per_day" min:"0" max:"1000000000"`
}

// Relay says who may relay.
type Relay struct {
	// Hosts that may send to other servers through us without a login: networks
	// or single addresses. Empty by default, so that nobody is an open door.
	Networks []netip.Prefix `toml:"networks"`
	// How long the host of a relay domain is asked whether it has a recipient,
	// before the sender is told to come again.
	AskTimeout time.Duration `toml:"ask_timeout" min:"1s" max:"4m"`
}

// Mail holds what all local mailboxes share.
type Mail struct {
	// The address that gets mail for postmaster where no alias says otherwise.
	// Empty: the first account of the domain. A key of its own, because one
	// person often looks after many domains.
	Postmaster string `toml:"postmaster"`
	// The quota of every account that has none of its own, those that are there
	// too; 0 = none. "hayauma account set --quota" gives an account one, 0 for no
	// limit, and takes it back with "default". A setting, because only the operator
	// knows how disk and users relate.
	Quota Size `toml:"quota"`
}

// Outbound holds how we speak to other servers.
type Outbound struct {
	// The port used on the destination's MX. Anything but 25 is for tests and
	// closed networks.
	Port int `toml:"port" min:"1" max:"65535"`
	// A server, as "host:port", that takes mail for others instead of the destinations'
	// own; that of relay domains, and what a route is for, goes its own way. Empty: none.
	// Needed where port 25 is closed to us.
	SmartHost string `toml:"smart_host"`
	// The login at the smart host. Empty: no login.
	SmartHostUser string `toml:"smart_host_user"`
	// The file whose first line is the password at the smart host; a file, so
	// that this one can be shown to others.
	SmartHostPasswordFile string `toml:"smart_host_password_file"`
	// TLS towards the smart host. With a password it must be starttls or
	// implicit, since a password must not cross the network in the clear.
	SmartHostTLS string `toml:"smart_host_tls" oneof:"starttls,implicit,opportunistic,none"`
	// A proxy through which all mail without a route leaves, as
	// "socks5://host:port" or, for one that knows CONNECT, "http://host:port";
	// its user, if it wants a login, as "socks5://user@host:port".
	// Empty: none. Needed where this machine must not connect to others itself.
	Proxy string `toml:"proxy"`
	// The file whose first line is the password of the proxy's user. It goes to
	// the proxy in the clear. Empty: no login.
	ProxyPasswordFile string `toml:"proxy_password_file"`
	// Attempts at once in all. It bounds sockets and memory, which only the
	// operator of the machine can weigh.
	Concurrency int `toml:"concurrency" min:"1" max:"100000"`
	// Whether mail goes out to IPv6 addresses of hosts too. Turn it off where this
	// machine has no IPv6, which saves a question to DNS for each host, or where its
	// IPv6 address has no name (PTR): large receivers refuse such senders.
	IPv6 bool `toml:"ipv6"`
	// Attempts at once to one provider of mailboxes, all domains whose mail it
	// takes together, where nothing is published of it or set for it ("hayauma
	// outbound limit"). Large receivers defer hosts that open more than a few
	// dozen connections.
	PerDestination int `toml:"per_destination" min:"1" max:"100000"`
	// How long a connection may take to be made to one address; slow networks
	// need more, many dead destinations want less.
	ConnectTimeout time.Duration `toml:"connect_timeout" min:"1s" max:"10m"`
	// How long a connection without work is kept for the next message; 0 = it
	// is closed at once. Longer saves handshakes and holds the peer's slots.
	IdleTimeout time.Duration `toml:"idle_timeout" min:"0" max:"5m"`
	// Messages sent over one connection before a new one is made. Many
	// receivers refuse more than a hundred.
	MessagesPerConnection int `toml:"messages_per_connection" min:"1" max:"1000000"`
	// Whether hosts that offer CHUNKING get a message as one chunk (BDAT). Turn it off
	// for those behind a firewall that does not know it.
	Chunking bool `toml:"chunking"`
	// Whether the TLS policies that domains publish (MTA-STS) are looked for and
	// obeyed: where one says so, mail goes only to hosts that it names and that
	// prove who they are. Turn it off only where no web server can be reached.
	MTASTS bool `toml:"mta_sts"`
	// The envelope sender under which mail leaves, to which other hosts report what
	// they cannot deliver after all. "sender": the sender's own address. "unique": one
	// for each message, "verp": one for each recipient as well; a report to them is
	// noted in the history of its message and passed on to the sender. With verp a
	// message goes to one recipient at a time.
	ReturnPath string `toml:"return_path" oneof:"sender,unique,verp"`
	// The domain of those addresses; its MX must lead here. Empty: the sender's own
	// domain, and mail whose sender is not at home here keeps its own return path.
	BounceDomain string `toml:"bounce_domain"`
}

// Reports says what other domains are told.
type Reports struct {
	// Whether domains that ask for it (TLSRPT) are told once a day how many
	// connections to their mail servers were secured, and what went wrong with others.
	TLS bool `toml:"tls"`
	// Who sends the reports, by name. Empty: the hostname.
	Organization string `toml:"organization"`
	// The address of who can be asked about them. Empty: postmaster at the hostname.
	Contact string `toml:"contact"`
}

// Limits holds what peers can make us hold.
type Limits struct {
	// Connections at once in all, every service together. A process that may open too
	// few files for them (ulimit -n) takes fewer, and says so at its start.
	Connections int `toml:"connections" min:"1" max:"1000000"`
	// Connections at once from one address (IPv6: one /64); 0 = no limit.
	ConnectionsPerAddress int `toml:"connections_per_address" min:"0" max:"1000000"`
	// Connections at once from one network: an IPv4 /24, an IPv6 /48; 0 = no
	// limit. Large senders and mobile networks have many hosts in one.
	ConnectionsPerNetwork int `toml:"connections_per_network" min:"0" max:"1000000"`
	// New connections in any minute in all; 0 = no limit. It keeps a flood from
	// taking all of the processor, and is shared by friend and foe: set it to
	// what the machine can bear. This machine itself, the hosts in
	// relay.networks, smtp.fronts and proxy.networks neither count nor are
	// limited here and in the next two, nor per network.
	ConnectionRate int `toml:"connection_rate" min:"0" max:"1000000"`
	// The same from one address (IPv6: one /64); 0 = no limit. The default is
	// ten a second: a large sender that makes a connection for each message, or
	// an office that starts its mail programs at the same moment, stays below.
	ConnectionRatePerAddress int `toml:"connection_rate_per_address" min:"0" max:"1000000"`
	// The same from one network: an IPv4 /24, an IPv6 /48; 0 = no limit.
	ConnectionRatePerNetwork int `toml:"connection_rate_per_network" min:"0" max:"1000000"`
	// Failed logins from one address (IPv6: one /64) in ten minutes, after which
	// it has to wait; 0 = no limit.
	LoginFailuresPerAddress int `toml:"login_failures_per_address" min:"0" max:"10000"`
	// The largest message that is accepted.
	MessageSize Size `toml:"message_size" min:"64KB" max:"4GB"`
	// Recipients in one transaction. Other servers count on at least 100.
	Recipients int `toml:"recipients" min:"1" max:"100000"`
	// The largest header of one message. It is held in memory while the message
	// arrives, so it has a bound of its own.
	HeaderSize Size `toml:"header_size" min:"4KB" max:"16MB"`
	// Message bytes held in memory at once, all sessions together; what does
	// not fit goes through files. It decides how much memory a burst takes.
	MemoryInFlight Size `toml:"memory_in_flight" min:"1MiB"`
	// Errors after which an IMAP or POP3 session is ended. Clients that probe
	// need many; honest ones a few.
	ErrorsPerSession int `toml:"errors_per_session" min:"1" max:"10000"`
}

// Timeouts holds how long we wait for a silent peer.
type Timeouts struct {
	// For the next SMTP command. RFC 5321 §4.5.3.2.7 asks for five minutes;
	// servers under attack may want less.
	SMTPCommand time.Duration `toml:"smtp_command" min:"1s" max:"1h"`
	// For the next part of a message. RFC 5321 §4.5.3.2.5 asks for three
	// minutes; slow links may need more.
	DataBlock time.Duration `toml:"data_block" min:"1s" max:"1h"`
	// For the next IMAP command, IDLE included. RFC 3501 §5.4 asks for at least
	// thirty minutes; mobile clients save power with more.
	IMAPIdle time.Duration `toml:"imap_idle" min:"1s" max:"1d"`
	// For the next POP3 command. RFC 1939 §3 asks for at least ten minutes; the
	// maildrop is locked meanwhile.
	POP3Idle time.Duration `toml:"pop3_idle" min:"1s" max:"1d"`
	// For sessions and attempts to finish when the server stops, all from the same
	// moment on. It has to be shorter than the patience of what stops it (systemd: 90 s).
	ShutdownGrace time.Duration `toml:"shutdown_grace" min:"0" max:"1h"`
}

// Queue holds what happens to mail that waits for other servers.
type Queue struct {
	// Whether new mail for others waits until it is released: for maintenance
	// and measuring.
	Hold bool `toml:"hold"`
	// The waits between attempts; the last one repeats. A host that greylists is
	// tried again when it asks for it.
	Retry []time.Duration `toml:"retry" min:"1s" max:"30d"`
	// How long a message is tried before its sender gets a bounce.
	Lifetime time.Duration `toml:"lifetime" min:"1s" max:"365d"`
	// After how long the sender is told that a message still waits; 0 = never.
	DelayNotice time.Duration `toml:"delay_notice" min:"0" max:"365d"`
	// Bytes of new messages handed to the senders in memory instead of being
	// read back from disk; 0 = always read back. More helps bursts and costs
	// this much memory.
	Memory Size `toml:"memory" min:"0"`
}

// Storage holds what is kept on disk.
type Storage struct {
	// The database. Empty: SQLite in data_dir, which serves one machine well.
	// Else the URL of a PostgreSQL database, version 15 or later, like
	// "postgres://hayauma@db1.example.org,db2.example.org/hayauma?sslmode=verify-full";
	// of several hosts the one that takes writes is used, also after a failover.
	Database string `toml:"database" apply:"restart"`
	// The file whose first line is the password of the database's user; a file,
	// so that this one can be shown to others. Empty: as the URL or the
	// environment (PGPASSWORD, PGPASSFILE) says.
	DatabasePasswordFile string `toml:"database_password_file" apply:"restart"`
	// Where the bodies of messages are kept. Empty: in files in data_dir.
	// "postgres": in the PostgreSQL database. Else a bucket of an S3 service and
	// a prefix in it, like "s3://mail/hayauma?endpoint=s3.example.org&region=eu-1".
	Bodies string `toml:"bodies" apply:"restart"`
	// The file with the keys of the S3 service: the access key in its first
	// line, the secret key in its second. Empty: AWS_ACCESS_KEY_ID and
	// AWS_SECRET_ACCESS_KEY of the environment.
	BodiesKeyFile string `toml:"bodies_key_file" apply:"restart"`
	// Memory for bodies read from an S3 service, so that clients which read the
	// same message twice wait for it once.
	BodiesCache Size `toml:"bodies_cache" min:"1MiB" apply:"restart"`
	// How long the bytes of deleted messages may stay on disk. Shorter rewrites
	// files more often; laws on deletion may ask for it.
	DeadBodies time.Duration `toml:"dead_bodies" min:"1h" max:"3650d"`
	// How long the events of a message, its trace, are kept. How long logs may
	// or must be kept is a matter of local law.
	Events time.Duration `toml:"events" min:"1h" max:"3650d"`
	// Free space below which mail is refused for the moment. Deleting still
	// works, and so do the commands with which mail in the queue gets out: those
	// of the queue, limits and routes. Empty: 1 % of the disk, but at least
	// 512 MiB. Small disks and shared disks want a figure of their own. Where nothing
	// at all is left, the file "spare" in data_dir (2 MiB) lets the server start.
	MinFree FreeSpace `toml:"min_free"`
}

// Log holds what is written to standard error.
type Log struct {
	// The least important lines that are written. debug adds sessions that were
	// lost, what IMAP clients tell of themselves and faulty HTTP requests.
	Level string `toml:"level" oneof:"debug,info,warn,error"`
	// text for people, json for what collects logs.
	Format string `toml:"format" oneof:"text,json" apply:"restart"`
}

// InForce returns the limits as they hold: as soon as connections_per_address or
// login_failures_per_address is 0, every limit that counts per address or network
// is lifted.
func (l Limits) InForce() Limits {
	if l.ConnectionsPerAddress == 0 || l.LoginFailuresPerAddress == 0 {
		l.ConnectionsPerAddress, l.LoginFailuresPerAddress = 0, 0
		l.ConnectionsPerNetwork, l.ConnectionRatePerAddress, l.ConnectionRatePerNetwork = 0, 0, 0
	}
	return l
}
