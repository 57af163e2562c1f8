package process

import (
	"context"
	"sync"
)

// Process is one life of a process: its Gate, its context, and its goroutines. Another
// life of the same program is another Process.
type Process struct {
	*Gate
	Name string

	ctx    context.Context
	cancel context.CancelFunc

	mu    sync.Mutex
	parts int
	fewer *sync.Cond // of mu: a part has ended
}

// New starts a life. It ends by a crash, by Stop, or with ctx.
func New(ctx context.Context, name string) *Process {
	p := &Process{Name: name}
	p.ctx, p.cancel = context.WithCancel(ctx)
	p.Gate = NewGate(p.cancel)
	p.fewer = sync.NewCond(&p.mu)
	return p
}

// Context ends with the process, or when it is asked to end.
func (p *Process) Context() context.Context { return p.ctx }

// Go runs a part of the process.
func (p *Process) Go(part func(context.Context)) {
	p.start(func() { part(p.ctx) })
}

// start is Go. A sync.WaitGroup would not do: calls of other processes come at any time.
func (p *Process) start(part func()) {
	p.mu.Lock()
	p.parts++
	p.mu.Unlock()
	go func() {
		part()
		p.mu.Lock()
		p.parts--
		p.mu.Unlock()
		p.fewer.Broadcast()
	}()
}

// Stop asks the process to end in order, as SIGTERM does. Its ports go on working. One
// that is frozen hears of it when it thaws.
func (p *Process) Stop() {
	if frozen := p.stopped(); frozen != nil {
		go func() {
			<-frozen
			p.Stop()
		}()
		return
	}
	p.cancel()
}

// stopped is closed by the thaw or the crash; nil: it runs.
func (g *Gate) stopped() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.frozen
}

// Wait waits until all parts have ended.
func (p *Process) Wait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.parts > 0 {
		p.fewer.Wait()
	}
}

// Held is a look at the lease that a freeze can stop before and after, and that is false
// after a crash.
func (p *Process) Held(held func() bool) func() bool {
	return func() bool {
		if _, err := p.Enter(false); err != nil {
			return false
		}
		return held() && p.Leave() == nil
	}
}

// Serve lets another process call this one: call runs in a goroutine of the process, which
// its gate stops before and after. The caller waits until ctx ends at the most; its error
// is then that of ctx, and call may go on: its own context ends, but a process that is
// frozen hears of that when it thaws. Where the process is down, or crashes, the error is
// ErrCrashed: the connection is refused, or breaks.
func Serve[T any](ctx context.Context, p *Process, call func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	select {
	case <-p.Crashed():
		return none, ErrCrashed
	default:
	}
	answers := make(chan answer, 1)
	p.start(func() {
		ctx, end := p.attend(ctx)
		defer end()
		var a answer
		if _, a.err = p.Enter(false); a.err == nil {
			a.value, a.err = call(ctx)
			if err := p.Leave(); err != nil {
				a = answer{err: err}
			}
		}
		answers <- a
	})
	select {
	case a := <-answers:
		return a.value, a.err
	case <-p.Crashed():
		return none, ErrCrashed
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// attend is the context of a call by another process: it ends once this process has heard
// that its caller has gone, or with the call.
func (p *Process) attend(caller context.Context) (ctx context.Context, end func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(caller))
	unhook := context.AfterFunc(caller, func() {
		_ = p.Leave()
		cancel()
	})
	return ctx, func() {
		unhook()
		cancel()
	}
}
