package mail

// The statuses that we use: RFC 3463, RFC 5248 and the IANA registry of
// enhanced status codes. Temp and Perm are the basic codes of RFC 5321 §4.2.3
// that go with them. Codes stay close to what other servers send, because
// people search for them.
var (
	Undefined          = Status{0, 0, 450, 550}
	AddressOther       = Status{1, 0, 450, 550}
	NoSuchMailbox      = Status{1, 1, 450, 550} // bad destination mailbox address
	NoSuchSystem       = Status{1, 2, 451, 550} // bad destination system address
	BadAddressSyntax   = Status{1, 3, 451, 501} // bad destination mailbox syntax
	BadSender          = Status{1, 7, 451, 501} // bad sender's mailbox syntax
	SenderSystem       = Status{1, 8, 451, 550} // bad sender's system address
	NullMX             = Status{1, 10, 451, 556}
	MailboxDisabled    = Status{2, 1, 450, 550}
	MailboxFull        = Status{2, 2, 452, 552}
	MessageTooLong     = Status{2, 3, 452, 552} // over this mailbox's own limit
	ListExpansion      = Status{2, 4, 450, 550}
	SystemError        = Status{3, 0, 451, 554}
	SystemFeature      = Status{3, 3, 451, 554} // system not capable of selected features
	SystemFull         = Status{3, 1, 452, 554}
	NotAccepting       = Status{3, 2, 421, 554} // system not accepting network messages
	Overload           = Status{3, 2, 451, 554} // the same, in the middle of a session
	MessageTooBig      = Status{3, 4, 452, 552}
	NoAnswer           = Status{4, 1, 451, 550}
	BadConnection      = Status{4, 2, 421, 550}
	DirectoryFailure   = Status{4, 3, 451, 550}
	NoRoute            = Status{4, 4, 451, 550}
	Congestion         = Status{4, 5, 451, 550}
	RoutingLoop        = Status{4, 6, 451, 554}
	DeliveryExpired    = Status{4, 7, 451, 554}
	BadCommand         = Status{5, 1, 450, 503} // invalid command for this state
	BadSyntax          = Status{5, 2, 451, 500}
	TooManyRecipients  = Status{5, 3, 452, 552}
	BadArguments       = Status{5, 4, 451, 501}
	UnknownParameter   = Status{5, 4, 451, 555} // RFC 5321 §4.1.1.11
	BareNewline        = Status{5, 2, 451, 550} // content with a CR or LF alone
	ProtocolOther      = Status{5, 0, 451, 554}
	ContentOther       = Status{6, 0, 451, 554}
	ConversionNeeded   = Status{6, 3, 451, 554} // conversion required but not supported
	UTF8AddressNeeded  = Status{6, 7, 451, 553} // non-ASCII addresses not permitted
	UTF8Reply          = Status{6, 8, 451, 553}
	UTF8HeaderNeeded   = Status{6, 9, 451, 554} // non-ASCII header not permitted
	SecurityOther      = Status{7, 0, 450, 550}
	NotAuthorized      = Status{7, 1, 450, 550} // delivery not authorized: relaying, sender rights
	CryptoFailure      = Status{7, 4, 454, 550} // security features not supported: TLS
	CryptoNotAvailable = Status{7, 5, 454, 554}
	AuthCredentials    = Status{7, 8, 454, 535}  // authentication credentials invalid
	AuthMechanism      = Status{5, 4, 450, 504}  // RFC 4954 §4
	AuthBase64         = Status{5, 2, 451, 501}  // RFC 4954 §4
	AuthTooLong        = Status{5, 6, 451, 500}  // RFC 4954 §6
	AuthTemporary      = Status{7, 0, 454, 535}  // temporary authentication failure (RFC 4954 §6)
	AuthRequired       = Status{7, 0, 450, 530}  // no mail before AUTH
	TLSRequired        = Status{7, 0, 450, 530}  // no command before STARTTLS
	EncryptionRequired = Status{7, 10, 450, 530} // TLS is what the sender, or we, insist on
	EncryptionNeeded   = Status{7, 11, 450, 538}
	RequireTLSNeeded   = Status{7, 30, 450, 550} // REQUIRETLS support required (RFC 8689 §4.2.1)
	SenderNullMX       = Status{7, 27, 450, 550} // sender address has null MX (RFC 7505 §4.2)
	TooManyFailures    = Status{7, 0, 421, 554}
)
