// The `lamina` engine: the store, through its public C++ interface.
//
// A page's digest is made of its name, which stands for the whole prefix up to it, as a serving
// engine's chained hashes do. The path is made once a request, by its first call, and lives from
// probe to put, so locations found by the probe are used by the get.
#include <array>
#include <cstring>
#include <utility>

#include "bench/engine.h"
#include "bench/meter.h"

namespace lamina::bench {
namespace {

class LaminaRequest final : public EngineRequest {
 public:
  LaminaRequest(Store* store, const EngineConfig& config, std::span<const PageName> names)
      : store_(*store), config_(config), digests_(DigestsOf(names)) {}

  Result<size_t> Probe() override {
    const Status status = MakePath();
    if (!status.ok()) return status;
    return store_.Probe(*path_, 0, path_->pages(), {});
  }

  std::optional<double> Estimate(size_t first_page, size_t page_count) override {
    if (!MakePath().ok()) return std::nullopt;
    const Result<LoadEstimate> estimate = store_.Estimate(*path_, first_page, page_count);
    if (!estimate.ok()) return std::nullopt;
    return estimate->us_p50 / kMicrosecondsPerSecond;
  }

  Result<size_t> Get(size_t first_page, std::span<std::byte* const> fragments) override {
    const Status status = MakePath();
    if (!status.ok()) return status;
    const std::vector<void*> buffers(fragments.begin(), fragments.end());
    const std::vector<size_t> sizes = Sizes(fragments.size());
    return store_.Get(*path_, first_page, fragments.size() / config_.fragments,
                      {.buffers = buffers, .sizes = sizes, .buffers_per_page = config_.fragments},
                      {});
  }

  Result<size_t> Put(size_t first_page, std::span<std::byte* const> fragments) override {
    const Status status = MakePath();
    if (!status.ok()) return status;
    const std::vector<const void*> buffers(fragments.begin(), fragments.end());
    const std::vector<size_t> sizes = Sizes(fragments.size());
    return store_.Put(*path_, first_page, fragments.size() / config_.fragments,
                      {.buffers = buffers, .sizes = sizes, .buffers_per_page = config_.fragments},
                      {});
  }

 private:
  Status MakePath() {
    if (path_ != nullptr) return Status::Ok();
    Result<std::unique_ptr<Path>> path = store_.PathFromDigests(config_.root, digests_);
    if (!path.ok()) return path.status();
    path_ = std::move(*path);
    return Status::Ok();
  }

  [[nodiscard]] std::vector<size_t> Sizes(size_t count) const {
    return std::vector<size_t>(count, config_.page_bytes / config_.fragments);
  }

  Store& store_;
  const EngineConfig& config_;
  const std::vector<uint8_t> digests_;
  std::unique_ptr<Path> path_;
};

class LaminaEngine final : public Engine {
 public:
  LaminaEngine(std::unique_ptr<Store> store, const EngineConfig& config)
      : store_(std::move(store)), config_(config) {}

  std::unique_ptr<EngineRequest> Begin(std::span<const PageName> names) override {
    return std::make_unique<LaminaRequest>(store_.get(), config_, names);
  }
  Status Flush() override { return store_->Flush(); }
  std::string StatsJson() override { return store_->StatsJson(); }

 private:
  const std::unique_ptr<Store> store_;
  const EngineConfig config_;
};

}  // namespace

Result<std::unique_ptr<Engine>> OpenLaminaEngine(const EngineConfig& config) {
  const Result<Options> options = Options::Parse(config.store_options);
  if (!options.ok()) return options.status();
  Result<std::unique_ptr<Store>> store = Store::Open(config.dir, *options);
  if (!store.ok()) return store.status();
  return std::unique_ptr<Engine>(std::make_unique<LaminaEngine>(std::move(*store), config));
}

}  // namespace lamina::bench
