# Everything a person or CI does here. Needs Rust and Go; the rest is built on first use and kept in the user's cache folder.
MAKEFLAGS += --no-print-directory
CARGO ?= cargo
BUILT := $(or $(CARGO_TARGET_DIR),target)
OPERATOR := $(BUILT)/debug/athena-operator
# With a test among what is built, dependencies have the features that they have in `make test`: they are built once for all.
BUILD := $(CARGO) build --locked --workspace --test cluster
BUILD_RELEASE := $(CARGO) build --locked --release --package athena-operator --bin athena-operator --package bench
RELEASE := $(or $(CARGO_TARGET_DIR),target)/release
CRD := crds/athenasessions.athena-operator.io.yaml
CHART := charts/athena-operator
ARGOCD := gitops/argocd/resource_customizations/athena-operator.io/AthenaSession

# A kubeconfig counts only when it is given on purpose: make demo KUBECONFIG=FILE
DEMO_FLAGS := $(if $(filter command line,$(origin KUBECONFIG)),--kubeconfig $(KUBECONFIG)) $(if $(EMULATOR_CONFIG),--emulator-config $(EMULATOR_CONFIG))

NODE_KUBECONFIG := $(if $(filter command line,$(origin KUBECONFIG)),$(KUBECONFIG))

# What make sweep does: all, with the mutants, unless a part is named.
SWEEP_FLAGS := $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(FAULT),--fault '$(FAULT)') $(if $(SEED),--seed $(SEED)) $(if $(SCENARIO)$(FAULT),,--mutants $(or $(MUTANTS),too))

.PHONY: help demo dev test sweep load bench soak chaos lint handover mutants fuzz generate image node tools

help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: tools ## Show the operator at work on a Kubernetes API server and an emulator of Athena
	@$(BUILD) --bin athena-operator --bin demo
	@$(BUILT)/debug/demo --operator $(OPERATOR) $(DEMO_FLAGS)

dev: tools ## Keep the same environment up until Ctrl-C
	@$(BUILD) --bin athena-operator --bin dev
	@$(BUILT)/debug/dev --operator $(OPERATOR)

test: tools ## Run all tests
	@$(BUILD) --bin kubernetes-assets
	@$(BUILT)/debug/kubernetes-assets path --controller-manager >/dev/null
	@$(CARGO) test --locked --workspace --no-fail-fast

sweep: tools ## Inject faults into every outgoing call of the operator; SCENARIO=... FAULT=... SEED=... repeat a part, MUTANTS=only
	@$(BUILD) --bin athena-operator --bin sweep
	@$(BUILT)/debug/sweep $(SWEEP_FLAGS)

load: tools ## Start 1,000 sessions at a slow Athena that returns errors; OBJECTS, REFUSED, WORK_GROUPS, RATE, ERRORS, SEED
	@$(BUILD) --bin athena-operator --bin load
	@$(BUILT)/debug/load --operator $(OPERATOR)

bench: tools ## Measure with 100, 1,000 and 10,000 objects against raw writes; N=1000, LIMITED=1000, FLIPS=1000, WRITE=1: docs/benchmarks.md
	@$(BUILD_RELEASE) --bin bench
	@$(RELEASE)/bench --operator $(RELEASE)/athena-operator $(if $(N),--objects $(N)) $(if $(LIMITED),--limited $(LIMITED)) $(if $(FLIPS),--flips $(FLIPS)) $(if $(WRITE),--write)

soak: tools ## Run the operator for two days of a faster clock and check that its memory does not grow; DAYS=..., takes 15 minutes
	@$(BUILD_RELEASE) --bin soak
	@$(RELEASE)/soak --operator $(RELEASE)/athena-operator $(if $(DAYS),--days $(DAYS)) $(if $(WRITE),--write)

chaos: tools ## Kill, stop, err, edit and delete at random with 300 objects, and check that all settle; RATE=200 or 5, SEED, OBJECTS
	@$(BUILD_RELEASE) --bin chaos
	@$(RELEASE)/chaos --operator $(RELEASE)/athena-operator

lint: tools ## Check format, lints, documentation, words and dependencies
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --locked --workspace --all-targets -- --deny warnings
	@RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --locked --workspace --no-deps --quiet
	@.ci/words
	@.ci/deny

handover: tools ## Measure how long it takes until another replica acts
	@$(BUILD) --bin athena-operator --bin handover
	@$(BUILT)/debug/handover --operator $(OPERATOR)

mutants: tools ## Break each branch of the decisions and check that a unit test fails; takes about an hour
	@.ci/mutants

fuzz: tools ## Feed the operator hostile objects, replies and flags, each for FUZZ_SECONDS (300)
	@.ci/fuzz

generate: tools ## Write the files that are made from the code
	@$(BUILD) --bin athena-operator --bin tool
	@$(OPERATOR) crd > $(CRD)
	@cp $(CRD) $(CHART)/files/crd.yaml
	@cp $(ARGOCD)/health.lua $(CHART)/files/health.lua
	@cp $(ARGOCD)/actions/discovery.lua $(CHART)/files/actions/discovery.lua
	@for action in suspend resume; do cp $(ARGOCD)/actions/$$action/action.lua $(CHART)/files/actions/$$action.lua; done
	@deploy/generate "$$($(BUILT)/debug/tool helm)"
	@GENERATE=1 $(CARGO) test --locked --quiet --workspace --test docs generated_sections

image: ## Build the container image; IMAGE, IMAGE_BUILDER, IMAGE_COMPILER, TARGETARCH: docs/image.md
	@image/build athena-operator

node: ## Try image and chart in a cluster: KUBECONFIG=FILE NODE_IMAGE_LOAD='kind load image-archive'; tests/node/README.md
	@test -n "$(NODE_KUBECONFIG)" || { echo "make node KUBECONFIG=FILE NODE_IMAGE_LOAD=COMMAND: see tests/node/README.md" >&2; exit 1; }
	@IMAGE= IMAGE_ARCHIVE= image/build athena-operator
	@IMAGE=localhost/athena-emulator:test IMAGE_ARCHIVE= image/build athena-emulator
	@$(BUILD) --bin tool
	@KUBECONFIG=$(NODE_KUBECONFIG) HELM3=$$($(BUILT)/debug/tool helm3) HELM4=$$($(BUILT)/debug/tool helm) tests/node/run $(STEPS)

tools:
	@command -v $(CARGO) >/dev/null || { echo "cargo is missing: install Rust" >&2; exit 1; }
