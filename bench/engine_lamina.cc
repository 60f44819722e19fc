// The `lamina` engine: the store, through its public C++ interface.
//
// A page's digest is made of its name, which stands for the whole prefix up to it, as a serving
// engine's chained hashes do. The path is made once a request, by its first call, and lives from
// probe to put, so locations found by the probe are used by the get.
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "bench/engine.h"

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
  std::optional<EstimateErrors> RestoreEstimates() override {
    const auto stats = nlohmann::json::parse(store_->StatsJson()).at("submitted");
    if (stats.at("estimates_checked").get<uint64_t>() == 0) return std::nullopt;
    return EstimateErrors{.p50 = stats.at("estimate_error_p50").get<double>(),
                          .p95 = stats.at("estimate_error_p95").get<double>()};
  }

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
