package sim

import (
	"context"
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"slotwise.dev/slotwise/test/sim/apiserver"
	"slotwise.dev/slotwise/test/sim/history"
	"slotwise.dev/slotwise/test/witness"
)

// make has a step happen.
func (s *system) make(step history.Step) {
	s.count("did " + string(step.Act))
	s.tell("- %s", step)
	do, known := doings[step.Act]
	if !known {
		panic("nobody knows how to " + string(step.Act))
	}
	do(s, step)
}

// doings are how each act is done.
var doings map[history.Act]func(s *system, step history.Step)

func init() { // it refers to itself
	doings = map[history.Act]func(s *system, step history.Step){
		history.Create: func(s *system, x history.Step) { s.create(*x.Pod, x.Count) },
		history.Delete: func(s *system, x history.Step) { s.deletePod(x.On, apiserver.Deletion{}) },
		history.Force:  func(s *system, x history.Step) { s.deletePod(x.On, apiserver.Deletion{Grace: apiserver.Force()}) },
		history.Replace: func(s *system, x history.Step) {
			s.deletePod(x.On, apiserver.Deletion{Grace: apiserver.Force()})
			s.later(x.For.D(), func() { s.create(*x.Pod, 1) })
		},
		history.RollOut: func(s *system, x history.Step) { s.rollOut(x.On, *x.Pod) },
		history.Phase:   func(s *system, x history.Step) { s.endPhase(x.On) },

		history.HalfGo: func(s *system, _ history.Step) { s.halfGo() },
		history.AllGo:  func(s *system, _ history.Step) { s.allGo() },

		history.Set:            func(s *system, x history.Step) { s.configure(*x.Settings) },
		history.OtherAllocator: (*system).otherAllocator,

		history.Leave:      func(s *system, x history.Step) { s.leave(x.On, x.For.D()) },
		history.Join:       func(s *system, x history.Step) { s.join(*x.Node) },
		history.Reregister: func(s *system, x history.Step) { s.reregister(x.On, x.For.D()) },
		history.Twin:       func(s *system, x history.Step) { s.addTwin(x.On, x.For.D()) },
		history.Unlabel:    (*system).unlabel,
		history.Unready:    (*system).unready,

		history.Crash: onReplica(func(ctx context.Context, r *replica, x history.Step) { r.crash(ctx, x.Count, x.For.D()) }),
		history.Freeze: onReplica(func(ctx context.Context, r *replica, x history.Step) {
			r.freeze(ctx, x.Count, x.For.D())
		}),
		history.Stop:      onReplica(func(ctx context.Context, r *replica, x history.Step) { r.stop(ctx, x.For.D()) }),
		history.Partition: onReplica(func(ctx context.Context, r *replica, x history.Step) { r.partition(ctx, x.For.D()) }),

		history.APIDown:   (*system).apiDown,
		history.APIFreeze: (*system).apiFreeze,
		history.APISlow: weatherOf(func(c *apiserver.Conditions, x history.Step) {
			c.Latency.Max += x.Delay.D()
		}),
		history.APILoses: weatherOf(func(c *apiserver.Conditions, x history.Step) {
			c.LoseRequest, c.LoseAnswer = max(c.LoseRequest, x.Chance/2), max(c.LoseAnswer, x.Chance/2)
		}),
		history.APILate:  weatherOf(func(c *apiserver.Conditions, x history.Step) { c.LateWrite = max(c.LateWrite, x.Chance/2) }),
		history.APIBusy:  weatherOf(func(c *apiserver.Conditions, x history.Step) { c.Busy = max(c.Busy, x.Chance) }),
		history.WatchLag: (*system).watchLag,
		history.WatchCut: (*system).watchCut,

		history.EC2Fault:   (*system).ec2Fault,
		history.EC2Lag:     (*system).ec2Lag,
		history.EC2Rates:   (*system).ec2Rates,
		history.EC2Refuses: (*system).ec2Refuses,

		history.OthersUnassign: (*system).othersUnassign,
		history.OthersTake:     (*system).othersTake,
		history.OthersAssign:   (*system).othersAssign,
		history.OthersOccupy:   (*system).othersOccupy,

		history.KubeletRestart:   (*system).kubeletRestart,
		history.SchedulerRestart: func(s *system, _ history.Step) { s.restartSchedulers() },
		history.SlotsDelete:      (*system).slotsDelete,
		history.SlotsChange:      (*system).slotsChange,
		history.CapacityZero:     (*system).capacityZero,
		history.MarksRemove:      (*system).marksRemove,
	}
}

// onReplica has something be done to a replica, beside what else happens.
func onReplica(do func(context.Context, *replica, history.Step)) func(*system, history.Step) {
	return func(s *system, x history.Step) {
		r, ctx := s.replica(x.On, x.Draw), s.trouble
		s.effects.Go(func() { do(ctx, r, x) })
	}
}

// weatherOf has all links be worse for a while.
func weatherOf(worse func(*apiserver.Conditions, history.Step)) func(*system, history.Step) {
	return func(s *system, x history.Step) {
		n := witness.Note{Text: x.String(), Hinders: x.For.D()}
		if x.Act == history.APILate {
			n.Late = apiserver.RequestTimeout
		}
		s.note(n)
		s.later(x.For.D(), s.worsen(func(c *apiserver.Conditions) { worse(c, x) }))
	}
}

// configMap is what users configure.
var configMap = types.NamespacedName{Namespace: "kube-system", Name: "amazon-vpc-cni"}

// configure writes the settings.
func (s *system) configure(x history.Settings) {
	s.settings = x
	data := map[string]string{
		"enable-windows-ipam":              strconv.FormatBool(!x.Off),
		"enable-windows-prefix-delegation": strconv.FormatBool(x.Prefixes),
	}
	for key, value := range map[string]int{
		"warm-prefix-target": x.WarmPrefix, "warm-ip-target": x.WarmIP, "minimum-ip-target": x.MinimumIP,
	} {
		if value > 0 {
			data[key] = strconv.Itoa(value)
		}
	}
	if x.Junk != "" {
		data["warm-ip-target"] = x.Junk
	}
	off := x.Off || s.rival
	s.note(witness.Note{Text: fmt.Sprintf("the settings are now: %s", x), Prefixes: &x.Prefixes, Off: &off})
	_, err := s.server.ConfigMaps().Change(configMap, "", func(m *corev1.ConfigMap) error {
		m.Data = data
		return nil
	})
	if err != nil {
		s.must(s.server.ConfigMaps().Create(&corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: configMap.Namespace, Name: configMap.Name}, Data: data,
		}))
	}
}

// otherAllocator has AWS's old controller stand there for a while.
func (s *system) otherAllocator(x history.Step) {
	key := types.NamespacedName{Namespace: "kube-system", Name: "vpc-resource-controller"}
	o := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	if _, err := s.server.Deployments().Create(o); err != nil {
		return // it is there already
	}
	stands := func(rival bool) {
		s.rival = rival
		off := rival || s.settings.Off
		s.note(witness.Note{Text: fmt.Sprintf("another allocator stands: %t", rival), Off: &off})
	}
	stands(true)
	s.later(x.For.D(), func() {
		_ = s.server.Deployments().Delete(key, apiserver.Deletion{})
		stands(false)
	})
}

func (s *system) unlabel(x history.Step) {
	label := func(os string) {
		s.note(witness.Note{Text: fmt.Sprintf("the operating system of %s is %q", x.On, os), Node: x.On})
		s.changeNode(x.On, func(n *corev1.Node) {
			if os == "" {
				delete(n.Labels, corev1.LabelOSStable)
			} else {
				n.Labels[corev1.LabelOSStable] = os
			}
		})
	}
	label("")
	s.later(x.For.D(), func() { label(string(corev1.Windows)) })
}

func (s *system) unready(x history.Step) {
	m := s.machines[x.On]
	if m == nil {
		return
	}
	set := func(ready bool) {
		ctx := m.kubelet.Context()
		s.note(witness.Note{Text: fmt.Sprintf("the kubelet of %s is ready: %t", x.On, ready), Tainted: x.On, Taint: !ready})
		s.effects.Go(func() { m.SetReady(ctx, ready) })
	}
	set(false)
	s.later(x.For.D(), func() { set(true) })
}

func (s *system) apiDown(x history.Step) {
	s.note(witness.Note{Text: "the API server goes down", Harm: true, Hinders: x.For.D(), Cuts: true})
	s.server.Down()
	s.later(x.For.D(), func() {
		s.server.Up()
		s.note(witness.Note{Text: "the API server is back", Harm: true})
	})
}

func (s *system) apiFreeze(x history.Step) {
	s.note(witness.Note{Text: "the API server freezes", Harm: true, Hinders: x.For.D()})
	s.server.Freeze()
	s.later(x.For.D(), func() {
		s.server.Thaw()
		s.note(witness.Note{Text: "the API server thaws", Harm: true})
	})
}

func (s *system) watchLag(x history.Step) {
	s.note(witness.Note{Text: x.String(), Hinders: x.For.D(), Lag: x.Delay.D()})
	s.later(x.For.D(), s.worsen(lagging(x.Delay.D())))
}

func (s *system) watchCut(x history.Step) {
	s.note(witness.Note{Text: x.String(), Hinders: x.For.D(), Cuts: true})
	if x.Chance == 0 {
		s.cutAll()
		return
	}
	s.later(x.For.D(), s.worsen(func(c *apiserver.Conditions) { c.CutWatch, c.Expire = x.Chance, 0.2 }))
}

func (s *system) kubeletRestart(x history.Step) {
	for name, m := range s.machines {
		if x.On == "" || x.On == name {
			s.restartKubelet(m)
		}
	}
}
