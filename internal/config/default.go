package config

import (
	"net/netip"
	"time"
)

const day = 24 * time.Hour

// Default returns the settings of an empty file. It lacks only the hostname.
func Default() *Config {
	return &Config{
		DataDir: "/var/lib/hayauma",
		Listen: Listen{
			// An empty host listens on IPv4 and IPv6 alike, and still works
			// where the kernel has no IPv6; "[::]" would not.
			SMTP:        []string{":25"},
			Submission:  []string{":587", ":2525"},
			Submissions: []string{":465"},
			LMTP:        []string{},
			IMAP:        []string{":143"},
			IMAPS:       []string{":993"},
			POP3:        []string{":110"},
			POP3S:       []string{":995"},
			HTTP:        []string{"127.0.0.1:8080"},
			HTTPS:       []string{},
		},
		// Both are kept for such tests: https://dnssec.works. The older pair of
		// verteiltesysteme.net is no more.
		DNS:  DNS{ProofSigned: "dnssec.works", ProofBogus: "fail01.dnssec.works", OwnNetworks: []netip.Prefix{}},
		SMTP: SMTP{JunkCommands: 100, Tarpit: 100 * time.Millisecond, Fronts: []netip.Prefix{}, Normalize: []netip.Prefix{}, HighestPriority: 4},
		Auth: Auth{OAuthAudience: []string{}, OAuthClaim: "email"},
		// Generous: who reaches them is ill more likely than busy.
		Submission: Submission{
			CheckFrom:       true,
			MessagesPerHour: 1000, MessagesPerDay: 5000,
			RecipientsPerHour: 3000, RecipientsPerDay: 10000, NewRecipientsPerDay: 2000,
		},
		Proxy: Proxy{Networks: []netip.Prefix{}},
		Relay: Relay{Networks: []netip.Prefix{}, AskTimeout: 20 * time.Second},
		Outbound: Outbound{
			Port:                  25,
			SmartHostTLS:          "starttls",
			Concurrency:           200,
			PerDestination:        20,
			ConnectTimeout:        30 * time.Second,
			IdleTimeout:           5 * time.Second,
			MessagesPerConnection: 100, IPv6: true, Chunking: true, MTASTS: true,
			ReturnPath: "sender",
		},
		Reports: Reports{TLS: true},
		Limits: Limits{
			Connections:           10000,
			ConnectionsPerAddress: 100,
			// A tenth of all: no network takes every place from the others.
			ConnectionsPerNetwork: 1000,
			// A thousand a second, which is a flood for any machine with TLS to do.
			ConnectionRate:           60_000,
			ConnectionRatePerAddress: 600,
			ConnectionRatePerNetwork: 6000,
			LoginFailuresPerAddress:  20,
			MessageSize:              50 * MB,
			Recipients:               1000,
			HeaderSize:               256 * KB,
			MemoryInFlight:           64 * MB,
			ErrorsPerSession:         20,
		},
		Timeouts: Timeouts{
			SMTPCommand:   5 * time.Minute,
			DataBlock:     3 * time.Minute,
			IMAPIdle:      30 * time.Minute,
			POP3Idle:      10 * time.Minute,
			ShutdownGrace: 10 * time.Second,
		},
		Queue: Queue{
			Retry: []time.Duration{
				5 * time.Minute, 15 * time.Minute, 30 * time.Minute,
				time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour,
			},
			Lifetime:    5 * day,
			DelayNotice: 4 * time.Hour,
			Memory:      16 * MB,
		},
		Storage: Storage{BodiesCache: 64 << 20, DeadBodies: 30 * day, Events: 90 * day},
		Log:     Log{Level: "info", Format: "text"},
	}
}
