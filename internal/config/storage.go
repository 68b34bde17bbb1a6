package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// BodiesInDatabase is the value of storage.bodies that keeps bodies in
// PostgreSQL.
const BodiesInDatabase = "postgres"

// IsPostgres tells whether the database is PostgreSQL.
func (s Storage) IsPostgres() bool { return s.Database != "" }

// IsS3 tells whether bodies are kept by an S3 service.
func (s Storage) IsS3() bool { return strings.HasPrefix(s.Bodies, "s3://") }

// DatabaseURL is the database's URL with its password.
func (s Storage) DatabaseURL() (string, error) {
	if s.DatabasePasswordFile == "" {
		return s.Database, nil
	}
	lines, err := secretLines(s.DatabasePasswordFile, 1)
	if err != nil {
		return "", fmt.Errorf("password of the database: %w", err)
	}
	head, rest, _ := strings.Cut(s.Database, "://")
	user, hosts, found := strings.Cut(rest, "@")
	if !found {
		return "", errors.New("password of the database: the URL names no user: write it as postgres://user@host/database")
	}
	user, _, _ = strings.Cut(user, ":")
	if plain, err := url.PathUnescape(user); err == nil {
		user = plain
	}
	return head + "://" + url.UserPassword(user, lines[0]).String() + "@" + hosts, nil
}

// Keys are those of an S3 service.
type Keys struct{ Access, Secret string }

// BodiesKeys reads the keys of the S3 service.
func (s Storage) BodiesKeys() (Keys, error) {
	if s.BodiesKeyFile == "" {
		k := Keys{os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")}
		if k.Access == "" || k.Secret == "" {
			return k, errors.New("storage.bodies: no keys for the S3 service: set storage.bodies_key_file, " +
				"or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment")
		}
		return k, nil
	}
	lines, err := secretLines(s.BodiesKeyFile, 2)
	if err != nil {
		return Keys{}, fmt.Errorf("keys of the S3 service: %w", err)
	}
	return Keys{lines[0], lines[1]}, nil
}

// secretLines reads the first lines of a file, none of which may be empty.
func secretLines(path string, n int) ([]string, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	for i := range n {
		if i >= len(lines) || lines[i] == "" {
			return nil, fmt.Errorf("line %d of %s is empty", i+1, path)
		}
	}
	return lines[:n], nil
}

// shownURL is a URL without a password.
func shownURL(s string) string {
	head, rest, found := strings.Cut(s, "://")
	user, hosts, named := strings.Cut(rest, "@")
	if !found || !named {
		return s
	}
	name, _, secret := strings.Cut(user, ":")
	if secret {
		name += ":..."
	}
	return head + "://" + name + "@" + hosts
}

// storage checks what database and bodies say, as far as no connection is
// needed for it.
func (k *checker) storage() {
	s := k.Storage
	if s.Database != "" && !strings.HasPrefix(s.Database, "postgres://") && !strings.HasPrefix(s.Database, "postgresql://") {
		k.bad("storage.database", shownURL(s.Database), `must be a URL like "postgres://user@host/database"; correct it, or write "" for SQLite in data_dir`)
	}
	if s.DatabasePasswordFile != "" && s.Database == "" {
		k.bad("storage.database_password_file", s.DatabasePasswordFile, "there is no database to log in to; set storage.database, or remove the file")
	}
	switch {
	case s.Bodies == "", s.IsS3():
	case s.Bodies != BodiesInDatabase:
		k.bad("storage.bodies", s.Bodies, `must be "postgres", or a URL like "s3://bucket/prefix?endpoint=s3.example.org"; correct it, or write "" for files in data_dir`)
	case !s.IsPostgres():
		k.bad("storage.bodies", s.Bodies, "needs a PostgreSQL database; set storage.database, or write \"\" for files in data_dir")
	}
	if s.BodiesKeyFile != "" && !s.IsS3() {
		k.bad("storage.bodies_key_file", s.BodiesKeyFile, "there is no S3 service to log in to; set storage.bodies, or remove the file")
	}
}

// storageFiles reads the files with secrets.
func (k *checker) storageFiles() {
	s := k.Storage
	if s.DatabasePasswordFile != "" && s.Database != "" {
		if _, err := s.DatabaseURL(); err != nil {
			k.bad("storage.database_password_file", s.DatabasePasswordFile, err.Error())
		}
	}
	if s.BodiesKeyFile != "" && s.IsS3() {
		if _, err := s.BodiesKeys(); err != nil {
			k.bad("storage.bodies_key_file", s.BodiesKeyFile, err.Error())
		}
	}
}
