package queue

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/hayauma/hayauma/internal/db"
)

// askedAtOnce is how many sites a filter asks the provider of at the same time.
const askedAtOnce = 16

// ready checks a filter and finds the sites of its provider, before any transaction:
// who takes the mail of a site may have to be looked up.
func (q *Queue) ready(ctx context.Context, f Filter) (Filter, error) {
	if err := f.check(); err != nil || f.Provider == "" {
		return f, err
	}
	sites, err := q.sitesInUse(ctx)
	if err != nil {
		return f, err
	}
	f.sites = map[string]bool{}
	wanted := lowerASCII(f.Provider)
	for part := range slices.Chunk(sites, askedAtOnce) {
		names := make([]string, len(part))
		var asked sync.WaitGroup
		for i, site := range part {
			asked.Go(func() { names[i] = q.providerFor(ctx, site) })
		}
		asked.Wait()
		for i, name := range names {
			if lowerASCII(name) == wanted {
				f.sites[part[i]] = true
			}
		}
		if ctx.Err() != nil {
			return f, ctx.Err()
		}
	}
	return f, nil
}

// providerFor is who takes the mail of a site: the site itself if nobody can tell.
func (q *Queue) providerFor(ctx context.Context, site string) string {
	if site == SiteLocal || q.o.Provider == nil {
		return site
	}
	q.mu.Lock()
	k, ok := q.known[site]
	q.mu.Unlock()
	if ok {
		return k.provider
	}
	return cmp.Or(q.provider(ctx, site), site)
}

var selectSites = db.SQL("SELECT id, site FROM queue_recipient WHERE id > ? ORDER BY id LIMIT ?")

// sitesInUse are those for which anything waits.
func (q *Queue) sitesInUse(ctx context.Context) ([]string, error) {
	sites := map[string]bool{}
	for after := int64(0); ; {
		seen := 0
		err := q.o.DB.Read(ctx, func(tx *db.Tx) error {
			seen = 0
			rows, err := tx.Query(selectSites, after, slice)
			if err != nil {
				return err
			}
			return db.Each(rows, func(r db.Rows) error {
				var site string
				err := r.Scan(&after, &site)
				sites[site] = true
				seen++
				return err
			})
		})
		if err != nil {
			return nil, err
		}
		if seen == 0 {
			return slices.Sorted(maps.Keys(sites)), nil
		}
	}
}
