// What a Path holds: the digests of its pages, their fingerprints in the root's present epoch, and
// where they were found.
#ifndef LAMINA_ENGINE_STORE_PATH_H_
#define LAMINA_ENGINE_STORE_PATH_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
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

// Pages count from 0 here, as in the public interface. One thread at a time.
struct Path::Impl {
  uint64_t store_instance = 0;  // the open store that made it; no other accepts it
  PathKind kind = PathKind::kTokens;
  uint32_t stem_pages = kMaxStemPages;
  const Secret* secret = nullptr;  // the store's; used in calls of that store only
  std::shared_ptr<RootState> root;
  uint64_t epoch = 0;  // of the root when `salt` and `fingerprints` were made
  Digest salt;
  std::vector<Digest>
      chain;  // C_0 .. C_n; for flat keys chain[0] is the root's, the others stand alone
  std::vector<Fingerprint> fingerprints;  // fingerprints[p] is page p's
  std::vector<Location> locations;
  uint32_t page_tokens = 0;  // 0: the path does not say
  // What the eviction policy said of this path; null until its first call.
  std::shared_ptr<ShownRequest> request;

  [[nodiscard]] size_t pages() const noexcept { return fingerprints.size(); }
  [[nodiscard]] Digest digest(size_t page) const noexcept { return chain[page + 1] ^ salt; }
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
  // The key of a page in the sorted structures; views this path.
  [[nodiscard]] StemKey stem_key(size_t page) const noexcept {
    const size_t begin = stem_begin(page);
    return {anchor(page), std::span(fingerprints).subspan(begin, page - begin + 1)};
  }
  [[nodiscard]] uint32_t guard(size_t page) const noexcept { return GuardOf(digest(page)); }

  // Follows the root into its present epoch: after erase_root, digests change and nothing that was
  // found counts. Call before use.
  void CatchUpWithRoot() noexcept;
  // Forgets the pages from `pages` on.
  void Truncate(size_t pages) noexcept;

 private:
  friend struct PathMaker;
  void ComputeFingerprints() noexcept;
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
  std::unique_ptr<Path::Impl> Start(std::shared_ptr<RootState> root, PathKind kind,
                                    Digest root_digest, size_t pages) const noexcept;
};

inline constexpr size_t kDigestBytes = 32;

}  // namespace lamina

#endif  // LAMINA_ENGINE_STORE_PATH_H_
