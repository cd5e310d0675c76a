package server_test

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/instance"
	"ssmlocal/server/instance/instancetest"
	"ssmlocal/server/servertest"
	"ssmlocal/server/ssm"
)

// BenchmarkRotation rotates secrets of real databases. "password" is the
// engine's own change of a password, "one" a rotation until its task is done,
// "sixteen" a rotation of which sixteen are under way, and "year" the twelve
// rotations of a year for each of b.N secrets, all on one database: go test
// ./server -run xxx -bench Rotation/MariaDB/year -benchtime 1000x
func BenchmarkRotation(b *testing.B) {
	for _, name := range []string{"MariaDB", "PostgreSQL", "Redis"} {
		b.Run(name, func(b *testing.B) {
			e := engines[name]
			db := e.start(b)
			r := &rotations{B: b, db: db, product: e.product, units: e.units}
			b.Run("password", r.password)
			b.Run("login", r.login)
			b.Run("one", func(b *testing.B) { r.rotate(b, 1) })
			b.Run("sixteen", func(b *testing.B) { r.rotate(b, 16) })
			b.Run("year", r.year)
		})
	}
	b.Run("unbound", func(b *testing.B) {
		r := &rotations{B: b, product: "Mysql", units: engines["MariaDB"].units}
		b.Run("one", func(b *testing.B) { r.rotate(b, 1) })
		b.Run("year", r.year)
	})
}

type rotations struct {
	*testing.B
	db      *instancetest.Server // nil for an instance that is not bound
	product string
	units   []object
}

// emulator starts one with so many secrets, which all rotate every 30 days.
func (r *rotations) emulator(b *testing.B, secrets int) *servertest.Server {
	c := server.Config{Unlimited: true, SecretLimit: 100_000, Log: slog.New(slog.DiscardHandler)}
	if r.db != nil {
		c.Instances = map[uint64][]ssm.Binding{account.DefaultUin: {{InstanceID: "live-1", URL: r.db.URL}}}
	}
	s := servertest.New(b, c)
	var last struct{ FlowID int64 }
	for i := range secrets {
		begin := s.Clock.Now().Add(time.Duration(1+i%1000) * time.Hour / 2)
		if err := s.Call("CreateProductSecret", object{
			"SecretName": fmt.Sprint("db-", i), "UserNamePrefix": "app", "ProductName": r.product, "InstanceID": "live-1",
			"Domains": []string{"%"}, "PrivilegesList": r.units,
			"EnableRotation": true, "RotationBeginTime": inZone(begin), "RotationFrequency": 30,
		}, &last); err != nil {
			b.Fatal(err)
		}
	}
	for done := 0; done < secrets; { // they may be made in any order
		done = 0
		for i := range secrets {
			if _, err := s.Value(fmt.Sprint("db-", i), ssm.CurrentVersion); err == nil {
				done++
			}
		}
	}
	b.Cleanup(func() {
		if r.db == nil {
			return
		}
		for i := range secrets {
			name := fmt.Sprint("db-", i)
			for _, err := range []error{
				s.Call("DisableSecret", object{"SecretName": name}, nil),
				s.Call("DeleteSecret", object{"SecretName": name, "RecoveryWindowInDays": 0, "DeleteMode": 1}, nil),
			} {
				if err != nil {
					b.Errorf("%s: %v", name, err)
				}
			}
		}
		for until := time.Now().Add(time.Minute); len(r.db.Accounts()) > 0; {
			if time.Now().After(until) {
				b.Fatalf("the database still has %q", r.db.Accounts())
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	return s
}

func (r *rotations) password(b *testing.B) {
	a, err := instance.Parse(r.db.URL)
	if err != nil {
		b.Fatal(err)
	}
	in, err := instance.Open(a)
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	who := instance.Account{Name: "app_SSM_abc", Password: "one"}
	if err := in.Create(b.Context(), who); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := in.SetPassword(b.Context(), who); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	if err := in.Drop(b.Context(), who.Name); err != nil {
		b.Fatal(err)
	}
}

func (r *rotations) login(b *testing.B) {
	a, err := instance.Parse(r.db.URL)
	if err != nil {
		b.Fatal(err)
	}
	in, err := instance.Open(a)
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	who := instance.Account{Name: "app_SSM_abc", Password: "one"}
	if err := in.Create(b.Context(), who); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := in.Login(b.Context(), who); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	if err := in.Drop(b.Context(), who.Name); err != nil {
		b.Fatal(err)
	}
}

// rotate has so many secrets rotated, over and over, until b.N rotations are
// done.
func (r *rotations) rotate(b *testing.B, atOnce int) {
	s := r.emulator(b, atOnce)
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var all sync.WaitGroup
	for i := range atOnce {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if err := rotateOnce(s, fmt.Sprint("db-", i), atOnce == 1); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rotations/s")
}

// rotateOnce rotates a secret, and waits until another value is there.
func rotateOnce(s *servertest.Server, name string, alone bool) error {
	before, err := s.Value(name, ssm.CurrentVersion)
	if err != nil {
		return err
	}
	if err := s.Call("RotateProductSecret", object{"SecretName": name}, nil); err != nil {
		return err
	}
	if alone {
		s.Advance(0) // waits for what is due
	}
	for {
		now, err := s.Value(name, ssm.CurrentVersion)
		if err != nil || now != before {
			return err
		}
		time.Sleep(50 * time.Microsecond) // a rotation takes some milliseconds, and needs the processors
	}
}

func (r *rotations) year(b *testing.B) {
	s := r.emulator(b, b.N)
	b.ResetTimer()
	done := 0
	for _, e := range s.Advance(365 * 24 * time.Hour) {
		if e.What == "rotation" {
			done++
		}
	}
	b.StopTimer()
	if done < 11*b.N {
		b.Errorf("%d rotations of %d secrets", done, b.N)
	}
	b.ReportMetric(b.Elapsed().Seconds(), "s/year")
	b.ReportMetric(float64(done)/b.Elapsed().Seconds(), "rotations/s")
}
