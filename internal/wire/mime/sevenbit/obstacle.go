package sevenbit

// Obstacle is the error that says why a message cannot be made 7-bit. Any other
// error is that of the source or of the destination.
type Obstacle string

// The obstacles.
const (
	// EightBitHeader is a header, of the message or of a part, with octets
	// beyond ASCII: it goes to hosts with SMTPUTF8 only (RFC 6532 §3.2).
	EightBitHeader Obstacle = "a header holds octets beyond ASCII"
	// BadHeader is a header that is no 7-bit text for another reason. To fold
	// it anew would change it, which is for its sender's host to do (Report.Fold).
	BadHeader Obstacle = "a header holds a line over 998 octets, a NUL or a bare CR or LF"
	// Between is such text before, between or behind the parts of a multipart,
	// which no transfer encoding reaches (RFC 2046 §5.1.1).
	Between Obstacle = "the text around body parts is not 7-bit"
	// SealedPart is a part that a signature covers or that belongs to an
	// encryption: what is inside must stay as it is (RFC 1847 §2.1, §2.2).
	SealedPart Obstacle = "a part inside multipart/signed or multipart/encrypted is not 7-bit"
	// Composite is a part that must not be encoded and cannot be followed
	// inwards (RFC 2045 §6.4): a multipart without its boundary, a report.
	Composite Obstacle = "a multipart or message part that cannot be taken apart is not 7-bit"
	// UnknownEncoding is a part whose transfer encoding is not known, or said
	// twice: what its octets stand for would be lost (RFC 2045 §6.2).
	UnknownEncoding Obstacle = "a part of unknown transfer encoding is not 7-bit"
	// TooComplex is a message with larger headers than are looked at.
	TooComplex Obstacle = "the headers are too large"
)

func (o Obstacle) Error() string { return string(o) }
