#include "tests/tools/vlog_gc_fixture.h"

#include <chrono>
#include <filesystem>
#include <random>
#include <stdexcept>
#include <utility>

#include "engine/index/stem_key.h"
#include "engine/store/store_impl.h"
#include "tools/common_text.h"
#include "tools/vlog_gc.h"

namespace lamina::testing {

namespace fs = std::filesystem;

DumpResult Gc(const std::vector<std::string>& arguments, bool stop) {
  DumpResult result;
  const std::atomic<bool> stopped{stop};
  {
    tools::Output out(&result.out);
    tools::Output err(&result.err);
    result.code = vlog_gc::Run(arguments, stopped, out, err);
  }
  return result;
}

GcStore::GcStore(uint32_t paths, size_t pages, size_t page_bytes, const std::string& options)
    : directory_(temporary_ / "store"),
      options_("capacity_bytes=64M;checkpoint_seconds=0;" + options),
      path_count_(paths),
      pages_(pages),
      page_bytes_(page_bytes) {
  store();
  for (size_t first = 0; first < pages_; first += 4) {
    for (TestPath& path : paths_)
      PutPages(*store_, path, first, std::min<size_t>(4, pages_ - first), page_bytes_);
  }
}

Store& GcStore::store() {
  if (store_ != nullptr) return *store_;
  StoreEnvironment environment;
  environment.seed = 7;
  auto impl = Store::Impl::Open(directory_, TestOptions(options_), std::move(environment));
  if (!impl.ok()) throw std::runtime_error(impl.status().ToString());
  store_ = std::make_unique<Store>(std::move(*impl));
  paths_.clear();
  for (uint32_t p = 0; p < path_count_; ++p)
    paths_.push_back(MakePath(*store_, "model", Tokens(p * 10000, pages_)));
  return *store_;
}

void GcStore::Close() {
  paths_.clear();
  store_.reset();
  for (const auto& entry : fs::recursive_directory_iterator(directory_))
    fs::last_write_time(entry.path(), fs::file_time_type::clock::now() + std::chrono::hours(1));
}

std::string GcStore::SegmentFile(uint32_t id) const {
  const std::string number = std::to_string(id);
  return directory_ + "/log/" + std::string(10 - number.size(), '0') + number + ".segment";
}

uint64_t GcStore::LogBytes() const {
  uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(directory_ + "/log")) bytes += entry.file_size();
  return bytes;
}

GcStore::Place GcStore::PlaceOf(uint32_t p, size_t page) {
  ProbePages(store(), paths_[p], page, 1);
  Path::Impl& path = *paths_[p].path->impl();
  const Location& location = path.locations[page];
  if (!location.found) return {};
  const KeyBytes key(path.stem_key(page));
  return {location.entry.slot, location.entry.tag(path.fingerprints[page]),
          tools::HexOf(key.view())};
}

std::vector<std::vector<bool>> GcStore::Thin(uint64_t seed, uint64_t live) {
  std::mt19937_64 random(seed);
  std::vector<std::vector<bool>> kept;
  TensorLog& log = store().impl()->log();
  for (uint32_t p = 0; p < path_count_; ++p) {
    kept.emplace_back();
    for (size_t i = 0; i < pages_; ++i) {
      const uint64_t draw = random() % 100;
      kept.back().push_back(draw < live);
      const Place place = PlaceOf(p, i);
      if (draw < live) continue;
      const bool changed = draw < live + (100 - live) / 2 ? log.Condemn(place.slot, place.tag)
                                                          : log.Free(place.slot, place.tag);
      if (!changed) throw std::runtime_error("a page of the fixture is not there");
    }
  }
  return kept;
}

}  // namespace lamina::testing
