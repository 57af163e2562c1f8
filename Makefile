# Needs Go, git, a C compiler and make. All else is built from Go modules.
.DEFAULT_GOAL := help

comma := ,

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
IMAGE ?= slotwise
PLATFORMS ?=
TESTFLAGS ?= -v

TOOLS := test/tools/bin
# The versions of Kubernetes that have a module of their own, and the newest, which all
# tests run on.
OLDER := $(patsubst test/tools/compat/v%,%,$(wildcard test/tools/compat/v*))
NEWEST := $(shell sed -n 's,.*k8s.io/kubernetes v\(1\.[0-9]*\)\..*,\1,p' test/tools/controlplane/go.mod)
CONTROLPLANE := etcd kube-apiserver kube-scheduler kubectl
VERSIONS ?= $(OLDER) $(NEWEST)
MODULES := . test/monitoring test/tools/controlplane test/tools/dev $(OLDER:%=test/tools/compat/v%)
GENERATED = $(wildcard allocator/api/*/zz_generated.*.go manifests/base/crd/*.yaml) manifests/monitoring/README.md

##@ Use

.PHONY: help
help: ## Show this text.
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: tools ## Tell the story of a migration, live, in two acts, on a local cluster. KEEP=1 leaves it up.
	go run ./test/demo $(if $(KEEP),--keep)

.PHONY: build
build: ## Build bin/slotwise.
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/slotwise ./cmd/slotwise

.PHONY: image
image: ## Build the container image with buildx. IMAGE=name, PLATFORMS=linux/amd64,linux/arm64.
	docker buildx build --build-arg VERSION=$(VERSION) $(if $(PLATFORMS),--platform $(PLATFORMS)) --tag $(IMAGE):$(VERSION) .

##@ Develop

# Two packages at a time: most of them wait for cooldowns, but a control plane wants
# its share of the cores. What tests build and start is not known to go test, so it
# must not take results from its cache. With -trimpath the packages of the kubelets
# are those that were compiled for the tools.
.PHONY: test
test: tools ## Run all tests, on a local control plane. TESTFLAGS= says less.
	go test -count=1 -p 2 -timeout 15m $(TESTFLAGS) ./...
	cd test/monitoring && go test -count=1 $(TESTFLAGS) ./...
	cd test/tools/controlplane && go test -count=1 -trimpath $(TESTFLAGS) ./kubelets

.PHONY: bench
bench: tools ## Measure the extender, the core, a burst, and clusters of NODES=20,500 beside the scheduler alone. Wants a quiet machine.
	go test -run '^$$' -bench . ./extender ./allocator/...
	go run ./test/bench/burst
	go run ./test/bench/size --nodes $(or $(NODES),20$(comma)500)

.PHONY: chaos
chaos: tools ## Let everything fail, and see that no promise is broken. DURATION=5m, SEED=n to do the same again.
	go run ./test/chaos --duration $(or $(DURATION),5m) $(if $(SEED),--seed $(SEED))

.PHONY: sim
sim: ## Play random histories of the whole system in virtual time. DURATION=10m, SEED=n to begin with that one.
	@SIM_DURATION=$(or $(DURATION),10m) SIM_SEED=$(SEED) go test -count=1 -timeout 0 -run '^TestSim$$' -v ./test/sim

.PHONY: breaks
breaks: ## Put known faults back, one by one, and see that the simulation finds each. BREAK=regexp chooses by name.
	go run ./test/breaks $(if $(BREAK),--only "$(BREAK)")

.PHONY: compat
compat: tools $(foreach version,$(filter $(OLDER),$(VERSIONS)),$(CONTROLPLANE:%=$(TOOLS)-$(version)/%)) ## Take the walk on the oldest and the newest Kubernetes. VERSIONS="1.30" chooses.
	test/tools/compat/run $(VERSIONS)

# go test fuzzes one target at a time.
.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME=30s.
	@grep -r --include=*_test.go -o '^func Fuzz[A-Za-z]*' . | while IFS=: read -r file target; do \
		echo "$$file $${target#func }" && \
		go test -run '^$$' -fuzz "^$${target#func }$$" -fuzztime $(or $(FUZZTIME),30s) "./$$(dirname "$$file")" || exit 1; done

# The packages without I/O, whose tests take less than a second. A mutant that rapid finds
# is killed all the same: it need not be made small first.
MUTANTS ?= ledger warmpool subnet settings capacity policy vpc
.PHONY: mutants
mutants: $(TOOLS)/gremlins ## Change the pure packages in small ways, and see which changes no test minds. MUTANTS="ledger" chooses.
	@for package in $(MUTANTS); do echo "allocator/$$package" && \
		RAPID_SHRINKTIME=0s RAPID_NOFAILFILE=true $(TOOLS)/gremlins unleash --workers 1 --timeout-coefficient 20 \
		--invert-logical --invert-loopctrl --invert-assignments ./allocator/$$package || exit 1; done

.PHONY: generate
generate: $(TOOLS)/controller-gen ## Generate what is made from Go code: the custom resource, the table of metrics in manifests/monitoring.
	$(TOOLS)/controller-gen object crd paths=./allocator/api/... output:crd:dir=manifests/base/crd
	go test ./test/metrics -run TestREADME -update

.PHONY: lint
lint: $(TOOLS)/golangci-lint ## Check form, vet, linters, go.mod files and generated files.
	@unformatted=$$(gofmt -l .) && test -z "$$unformatted" || { echo "not as gofmt has it: $$unformatted"; exit 1; }
	go vet ./...
	$(TOOLS)/golangci-lint run ./...
	@for module in $(MODULES); do (cd $$module && echo "go mod tidy -diff in $$module" && go mod tidy -diff) || exit 1; done
	@before=$$(cat $(GENERATED) | cksum) && $(MAKE) --no-print-directory generate && \
		test "$$before" = "$$(cat $(GENERATED) | cksum)" || { echo "generated files were not up to date; they are now"; exit 1; }

.PHONY: clean
clean: ## Remove what was built, the tools included.
	rm -rf bin $(TOOLS) $(TOOLS)-*

##@ Tools

# The binaries of KUBEBUILDER_ASSETS, where it is set, are used as they are.
ready = $(if $(KUBEBUILDER_ASSETS),$(wildcard $(KUBEBUILDER_ASSETS)/$(1)))

.PHONY: tools
tools: $(foreach tool,$(CONTROLPLANE) kubelets kwok,$(if $(call ready,$(tool)),,$(TOOLS)/$(tool))) ## Build the local control plane, as far as it is missing.

# $(call build,name,module,package,how long a cold build takes on two cores,folder)
define build
$(5)/$(1): test/tools/$(2)/go.mod test/tools/$(2)/go.sum
	@test/tools/build test/tools/$(2) $(3) $$@ '$(4)'

endef
# $(call controlplane,module,folder)
define controlplane
$(call build,etcd,$(1),go.etcd.io/etcd/server/v3,10 seconds,$(2))
$(call build,kube-apiserver,$(1),k8s.io/kubernetes/cmd/kube-apiserver,5 minutes,$(2))
$(call build,kube-scheduler,$(1),k8s.io/kubernetes/cmd/kube-scheduler,1 minute,$(2))
$(call build,kubectl,$(1),k8s.io/kubernetes/cmd/kubectl,20 seconds,$(2))
endef
$(eval $(call controlplane,controlplane,$(TOOLS)))
$(foreach version,$(OLDER),$(eval $(call controlplane,compat/v$(version),$(TOOLS)-$(version))))
$(eval $(call build,kwok,controlplane,sigs.k8s.io/kwok/cmd/kwok,20 seconds,$(TOOLS)))
$(eval $(call build,kubelets,controlplane,slotwise.dev/slotwise/test/tools/controlplane/kubelets,1 minute,$(TOOLS)))
$(TOOLS)/kubelets: $(wildcard test/tools/controlplane/kubelets/*.go)
$(eval $(call build,golangci-lint,dev,github.com/golangci/golangci-lint/v2/cmd/golangci-lint,3 minutes,$(TOOLS)))
$(eval $(call build,gremlins,dev,github.com/go-gremlins/gremlins/cmd/gremlins,30 seconds,$(TOOLS)))
$(eval $(call build,controller-gen,dev,sigs.k8s.io/controller-tools/cmd/controller-gen,10 seconds,$(TOOLS)))
