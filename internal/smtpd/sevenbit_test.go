package smtpd_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/stack"
)

// TestSevenBitStored plays a dialog and reads what is stored then.
func TestSevenBitStored(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	testkit.Dialog{Dial: r.dialDoor, TLS: r.ca.ClientConfig(stack.Hostname)}.Run(t, "testdata/stored/seven_bit.txt")
	var got strings.Builder
	for _, m := range r.Inbox("bob@hayauma.test") {
		_, rest, _ := strings.Cut(m, "\tfor <bob@hayauma.test>;\r\n") // the end of our trace, but for the time
		_, rest, _ = strings.Cut(rest, "\r\n")
		got.WriteString("---\n" + strings.ReplaceAll(rest, "\r\n", "\n"))
	}
	if diff := cmp.Diff(stored, got.String()); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}

// stored is what bob has of the dialog, behind our trace.
const stored = `---
Message-ID: <declared@hayauma.test>
Date: Wed, 25 Nov 2026 12:00:00 +0000
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Gr=C3=BC=C3=9Fe aus dem sch=C3=B6nen Z=C3=BCrich, bis bald
=2E
=46rom here on it is plain.
---
Message-ID: <undeclared@hayauma.test>
Date: Wed, 25 Nov 2026 12:00:00 +0000
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

=C3=87a va tr=C3=A8s bien, and a few words more
---
Message-ID: <parts@hayauma.test>
Date: Wed, 25 Nov 2026 12:00:00 +0000
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="=_b"
Content-Transfer-Encoding: 7bit

--=_b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: base64

5pel5pys6Kqe
--=_b
Content-Type: text/html; charset=us-ascii

<p>nothing to do here</p>
--=_b--
---
Message-ID: <signed@hayauma.test>
Date: Wed, 25 Nov 2026 12:00:00 +0000
MIME-Version: 1.0
Content-Type: multipart/signed; boundary="=_s"; protocol="application/pgp-signature"; micalg=pgp-sha256

--=_s
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Grüße
--=_s
Content-Type: application/pgp-signature

signature
--=_s--
---
Message-ID: <utf8@hayauma.test>
Date: Wed, 25 Nov 2026 12:00:00 +0000
Subject: Grüße
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Grüße
---
Message-ID: <seven@hayauma.test>
Date: Wed, 25 Nov 2026 12:00:00 +0000
Content-Transfer-Encoding: 8bit

plain
---
Message-ID: <others@hayauma.test>
Date: Wed, 25 Nov 2026 12:00:00 +0000

Grüße
`
