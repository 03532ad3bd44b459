# `make` lists the targets. Everything that is installed goes into target/.
CARGO_FUZZ = 0.13.2
TOOLS = $(abspath $(or $(VAULTGRAM_TOOLS),target/tools))

.PHONY: help tools build demo test test-monitoring test-k8s lint-k8s image deb test-ansible lint-ansible soak load scaling fuzz lint \
    bench clean

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

tools: ## install the real servers and clients that tests and the demo use
	@tests/install-tools.sh

build: ## the release binary, target/release/vaultgram
	cargo build --release --locked

demo: tools ## the main job, end to end, on this machine: OpenBao, a simulated Telegram, vaultgram
	cargo build --locked --bins --example demo
	@cargo run --locked --quiet --example demo

test: tools lint ## every test, with the real servers
	cargo test --locked --workspace
	cargo test --locked --release --test memory

test-k8s: tools image ## manifests, network policies, pods, image, Debian package, compose, workflows, every script
	@tests/k8s/tools
	cargo build --locked --bins --example demo
	tests/k8s/run package
	BINARY=target/image/vaultgram tests/k8s/run manifests network generated image pods sbom lint

lint-k8s: tools ## of test-k8s what needs neither root nor a release: manifests, network policies, what is generated, SBOM, scripts
	@tests/k8s/tools
	cargo build --locked --bins --example demo
	tests/k8s/run manifests network generated sbom lint

image: ## the static binary that the image is made of, target/image/vaultgram (it takes the place of target/release/vaultgram)
	cargo rustc --release --locked --bin vaultgram -- -C target-feature=+crt-static
	mkdir -p target/image
	cp target/release/vaultgram target/image/vaultgram

deb: build ## the Debian package, target/debian/*.deb
	systemd/debian/build

test-monitoring: tools ## metrics, alerts and the dashboard with a real Prometheus and a real Alertmanager
	cargo test --locked --test monitoring

# The example wants what tests want: without it, libraries would be built once more in another form.
test-ansible: tools ## ansible/ on three hosts of this machine, from nothing to restored from a backup; as root
	cargo build --locked --workspace --bins --example demo
	tests/ansible/run

lint-ansible: tools ## what ansible/ and shell scripts look like, and both flavours of Vault
	cd ansible && PATH=$(TOOLS)/venv/bin:$$PATH ANSIBLE_COLLECTIONS_PATH=$(TOOLS)/collections \
	    ansible-lint --offline --nocolor
	tests/support/scripts | xargs $(TOOLS)/venv/bin/shellcheck
	tests/ansible/flavours

soak: tools ## 20,000 commands while everything goes wrong, 5,000 to replicas, 10,000 simulated histories; short forms are among the tests
	SOAK_COMMANDS=20000 cargo test --locked --release --test soak -- --nocapture
	CHAOS_COMMANDS=5000 cargo test --locked --release --test cluster chaos -- --nocapture
	PROPTEST_CASES=10000 cargo test --locked --release --lib model_tests

load: tools ## 10,000 connections held and 200 hostile ones, beside which everybody else must not notice
	LOAD=full cargo test --locked --release --test load -- --nocapture

scaling: tools ## how long people wait when a replica dies, and what replicas and etcd carry
	FIGURES_KILLS=50 FIGURES_SECONDS=20 FIGURES_CALM=60 FIGURES_QUESTIONS=80 FIGURES_ROUNDS=5 \
	    cargo test --locked --release --test cluster figures -- --nocapture --test-threads=1

fuzz: ## a minute of fuzzing each: what people and programs can send, and what peers can call themselves
	@test -x target/tools/bin/cargo-fuzz || \
	    cargo install --quiet --locked --root target/tools --version $(CARGO_FUZZ) cargo-fuzz
	mkdir -p target/fuzz/corpus
	target/tools/bin/cargo-fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz --sanitizer none \
	    command target/fuzz/corpus tests/fuzz/seeds/command -- -max_total_time=60 -max_len=5000
	mkdir -p target/fuzz/corpus-peer_name
	target/tools/bin/cargo-fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz --sanitizer none \
	    peer_name target/fuzz/corpus-peer_name tests/fuzz/seeds/peer_name -- -max_total_time=60 -max_len=300
	mkdir -p target/fuzz/corpus-http
	target/tools/bin/cargo-fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz --sanitizer none \
	    http target/fuzz/corpus-http tests/fuzz/seeds/http -- -max_total_time=60 -max_len=5000

lint: ## format, clippy, documentation
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet

bench: tools ## speed beside peers, in one run
	cargo bench --locked
	cargo test --locked --release --test https -- --ignored --nocapture

clean: ## remove what was built and installed
	cargo clean
