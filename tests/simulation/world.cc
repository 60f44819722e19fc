#include "tests/simulation/world.h"

#include <cstring>
#include <stdexcept>

namespace lamina::simulation {
namespace {

uint64_t Mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
  return value ^ (value >> 31);
}

// Of a prefix, whatever the root: the same digest under two roots names two pages.
std::vector<uint64_t> PrefixesOf(const PathSpec& spec) {
  std::vector<uint64_t> prefixes;
  uint64_t prefix = 1;
  for (const uint32_t token : spec.tokens) {
    prefix = Mix((spec.form == PathForm::kKeys ? 1 : prefix) + token);
    prefixes.push_back(prefix);
  }
  return prefixes;
}

uint64_t StartOf(PageId page, uint32_t version) { return Mix(page + version); }

// Calls each(at, word) for the words of a page, the last of which may be cut.
template <class Each>
void ForEachWord(PageId page, uint32_t version, size_t bytes, Each each) {
  uint64_t state = StartOf(page, version);
  for (size_t at = 0; at < bytes; at += sizeof(uint64_t)) {
    state += 0x9E3779B97F4A7C15u;
    const uint64_t word = (state ^ (state >> 32)) * 0xD6E8FEB86659FD93u;
    if (!each(at, word)) return;
  }
}

}  // namespace

World::World(Random* random, Sizes sizes, size_t paths, size_t longest) : sizes_(std::move(sizes)) {
  for (size_t i = 0; i < paths; ++i) {
    PathSpec& spec = paths_.emplace_back();
    spec.root = static_cast<uint8_t>(random->Below(sizes_.of_root.size()));
    const uint64_t form = random->Below(6);
    spec.form = form < 4 ? PathForm::kTokens : form == 4 ? PathForm::kDigests : PathForm::kKeys;
    const size_t length = 1 + random->Below(longest);
    // Few branches, so that prefixes are shared; a flat key is a page of its own.
    for (size_t page = 0; page < length; ++page) {
      const uint64_t branches = spec.form == PathForm::kKeys ? 64 : page % 7 == 0 ? 3 : 1;
      spec.tokens.push_back(static_cast<uint32_t>(random->Below(branches)));
    }
    const uint64_t salt = Mix(spec.root * kForms + static_cast<uint64_t>(spec.form) + 77);
    for (const uint64_t prefix : PrefixesOf(spec)) spec.pages.push_back(Mix(prefix ^ salt));
  }
}

uint32_t World::BytesOf(const PathSpec& spec, size_t page) const {
  const uint32_t bytes = sizes_.of_root[spec.root];
  if (!sizes_.mixed) return bytes;
  // By the page, which must have one size whichever path it is put through.
  const uint64_t kind = spec.pages[page] % 8;
  return kind == 0 ? bytes / 2 + 1 : kind == 1 ? bytes + 511 : bytes;
}

std::unique_ptr<Path> World::Open(Store& store, const PathSpec& spec) {
  const std::string& root = kRoots[spec.root];
  const auto made = [&]() -> Result<std::unique_ptr<Path>> {
    if (spec.form == PathForm::kTokens) return store.PathFromTokens(root, spec.tokens, 1);
    std::vector<uint8_t> digests;
    for (const uint64_t prefix : PrefixesOf(spec)) {
      for (uint64_t word = 0; word < 4; ++word) {
        const uint64_t part = Mix(prefix + word);
        for (int byte = 0; byte < 8; ++byte)
          digests.push_back(static_cast<uint8_t>(part >> (8 * byte)));
      }
    }
    if (spec.form == PathForm::kDigests) return store.PathFromDigests(root, digests);
    return store.PathFromKeys(root, digests);
  };
  auto path = made();
  if (!path.ok()) throw std::runtime_error("path: " + path.status().ToString());
  return std::move(*path);
}

void World::Fill(PageId page, uint32_t version, std::span<std::byte> out) {
  ForEachWord(page, version, out.size(), [&](size_t at, uint64_t word) {
    std::memcpy(out.data() + at, &word, std::min(sizeof word, out.size() - at));
    return true;
  });
}

bool World::Holds(PageId page, uint32_t version, std::span<const std::byte> bytes) {
  bool same = true;
  ForEachWord(page, version, bytes.size(), [&](size_t at, uint64_t word) {
    same = std::memcmp(bytes.data() + at, &word, std::min(sizeof word, bytes.size() - at)) == 0;
    return same;
  });
  return same;
}

}  // namespace lamina::simulation
