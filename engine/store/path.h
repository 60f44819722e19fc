// What a Path holds: the digests of its pages, their fingerprints in the root's present epoch, and
// where they were found.
#ifndef LAMINA_ENGINE_STORE_PATH_H_
#define LAMINA_ENGINE_STORE_PATH_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/keys.h"
#include "engine/index/entry.h"
#include "engine/lamina.h"
#include "engine/store/root_table.h"

namespace lamina {

struct ShownRequest;  // evictor.h

// Where a page was found when it was last looked for. `found` is a hint: whether the slot still
// bears the entry's tag is asked again whenever it matters.
struct Location {
  Entry entry;
  bool found = false;
};

// What a path's pages are called. Cheap to copy: copies share the digests, which do not change.
// Pages count from 0 here, as in the public interface.
class PathKeys {
 public:
  PathKind kind = PathKind::kTokens;
  uint32_t stem_pages = kMaxStemPages;
  uint32_t page_tokens = 0;        // 0: the path does not say
  const Secret* secret = nullptr;  // the store's; used in calls of that store only
  std::shared_ptr<RootState> root;
  uint64_t epoch = 0;  // of the root when `salt` and `fingerprints` were made
  Digest salt;
  // fingerprints[p] is page p's, in that epoch.
  std::span<const Fingerprint> fingerprints;

  [[nodiscard]] size_t pages() const noexcept { return fingerprints.size(); }
  [[nodiscard]] Digest digest(size_t page) const noexcept { return (*chain_)[page + 1] ^ salt; }
  // First page of the stem that a page lies in.
  [[nodiscard]] size_t stem_begin(size_t page) const noexcept {
    return kind == PathKind::kFlatKeys ? page : page - page % stem_pages;
  }
  // One past the last page of that stem, within this path.
  [[nodiscard]] size_t stem_end(size_t page) const noexcept;
  [[nodiscard]] Digest anchor(size_t page) const noexcept;
  [[nodiscard]] PageKey page_key(size_t page) const noexcept {
    return {anchor(page), fingerprints[page]};
  }
  // The key of a page in the sorted structures; views the digests.
  [[nodiscard]] StemKey stem_key(size_t page) const noexcept {
    const size_t begin = stem_begin(page);
    return {anchor(page), fingerprints.subspan(begin, page - begin + 1)};
  }
  [[nodiscard]] uint32_t guard(size_t page) const noexcept { return GuardOf(digest(page)); }

 protected:
  friend struct PathMaker;
  // C_0 .. C_n; for flat keys the first is the root's, the others stand alone.
  void SetChain(std::vector<Digest> chain) noexcept;
  void ComputeFingerprints() noexcept;

 private:
  std::shared_ptr<const std::vector<Digest>> chain_;
  std::shared_ptr<const std::vector<Fingerprint>> own_fingerprints_;
};

// One thread at a time.
struct Path::Impl : PathKeys {
  uint64_t store_instance = 0;  // the open store that made it; no other accepts it
  std::vector<Location> locations;
  // What the eviction policy said of this path; null until its first call.
  std::shared_ptr<ShownRequest> request;

  Impl() = default;
  // The same pages, none of them located.
  explicit Impl(PathKeys keys) noexcept : PathKeys(std::move(keys)), locations(pages()) {}

  // Follows the root into its present epoch: after erase_root, digests change and nothing that was
  // found counts. Call before use.
  void CatchUpWithRoot() noexcept;
};

// Makes the three kinds of path. Pure but for the root's registration by the caller.
struct PathMaker {
  const Secret& secret;
  uint32_t stem_pages;
  uint64_t store_instance;

  std::unique_ptr<Path::Impl> FromTokens(std::shared_ptr<RootState> root,
                                         std::string_view root_text,
                                         std::span<const uint32_t> tokens,
                                         uint32_t page_tokens) const noexcept;
  // Digests and flat keys: 32 bytes a page.
  std::unique_ptr<Path::Impl> FromDigests(std::shared_ptr<RootState> root,
                                          std::string_view root_text, PathKind kind,
                                          std::span<const uint8_t> digests32) const noexcept;

 private:
  std::unique_ptr<Path::Impl> Make(std::shared_ptr<RootState> root, PathKind kind,
                                   std::vector<Digest> chain) const noexcept;
};

inline constexpr size_t kDigestBytes = 32;

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_PATH_H_
