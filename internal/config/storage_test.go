package config

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestStorage(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	writeFile(t, one, "p@ss word/1\n")
	writeFile(t, two, "access\nsecret\n")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	for name, c := range map[string]struct {
		s    Storage
		want string // a part of the error, "" = none
	}{
		"nothing":                      {Storage{}, ""},
		"postgres":                     {Storage{Database: "postgres://u@h/d", Bodies: "postgres"}, ""},
		"a password file":              {Storage{Database: "postgres://u@h1,h2/d", DatabasePasswordFile: one}, ""},
		"no user for the password":     {Storage{Database: "postgres://h/d", DatabasePasswordFile: one}, "names no user"},
		"a password for no database":   {Storage{DatabasePasswordFile: one}, "no database to log in to"},
		"another database":             {Storage{Database: "mysql://u:topsecret@h/d"}, "must be a URL like"},
		"bodies in no database":        {Storage{Bodies: "postgres"}, "needs a PostgreSQL database"},
		"bodies elsewhere":             {Storage{Bodies: "ftp://x"}, `must be "postgres", or a URL`},
		"bodies in S3":                 {Storage{Bodies: "s3://bucket", BodiesKeyFile: two}, ""},
		"a key file with one line":     {Storage{Bodies: "s3://bucket", BodiesKeyFile: one}, "line 2 of"},
		"keys for no service":          {Storage{BodiesKeyFile: two}, "no S3 service to log in to"},
		"a password file that is gone": {Storage{Database: "postgres://u@h/d", DatabasePasswordFile: filepath.Join(dir, "none")}, "no such file"},
	} {
		cfg := valid()
		c.s.BodiesCache, c.s.DeadBodies, c.s.Events = cfg.Storage.BodiesCache, cfg.Storage.DeadBodies, cfg.Storage.Events
		cfg.Storage = c.s
		err := cfg.Validate()
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		case err != nil && strings.Contains(err.Error(), "topsecret"):
			t.Errorf("%s: the error repeats the password: %v", name, err)
		}
	}
}

func TestStorageSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	writeFile(t, file, "p@ss word/1\r\nsecond\n")
	s := Storage{Database: "postgres://user%40x:old@h1:1,h2/d?sslmode=disable", DatabasePasswordFile: file}
	if got, err := s.DatabaseURL(); err != nil || got != "postgres://user%40x:p%40ss%20word%2F1@h1:1,h2/d?sslmode=disable" {
		t.Errorf("%s, %v", got, err)
	}
	s = Storage{Bodies: "s3://bucket", BodiesKeyFile: file}
	if got, err := s.BodiesKeys(); err != nil || got != (Keys{"p@ss word/1", "second"}) {
		t.Errorf("%v, %v", got, err)
	}
	s.BodiesKeyFile = ""
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	if _, err := s.BodiesKeys(); err == nil || !strings.Contains(err.Error(), "bodies_key_file") {
		t.Errorf("half of the keys: %v", err)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
	if got, err := s.BodiesKeys(); err != nil || got != (Keys{"a", "b"}) {
		t.Errorf("%v, %v", got, err)
	}
}
