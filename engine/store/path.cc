#include "engine/store/path.h"

#include <algorithm>
#include <utility>

namespace lamina {

Path::Path(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Path::~Path() = default;
size_t Path::pages() const noexcept { return impl_->pages(); }

size_t Path::Impl::stem_end(size_t page) const noexcept {
  if (kind == PathKind::kFlatKeys) return page + 1;
  return std::min(pages(), stem_begin(page) + stem_pages);
}

Digest Path::Impl::anchor(size_t page) const noexcept {
  // chain[s] is the digest of the page before the stem, or the root's; a flat key anchors itself.
  const size_t s = kind == PathKind::kFlatKeys ? page + 1 : stem_begin(page);
  return chain[s] ^ salt;
}

void Path::Impl::ComputeFingerprints() noexcept {
  fingerprints.resize(chain.size() - 1);
  for (size_t page = 0; page < fingerprints.size(); ++page)
    fingerprints[page] = FingerprintOf(digest(page));
}

void Path::Impl::CatchUpWithRoot() noexcept {
  const uint64_t now = root->epoch.load(std::memory_order_acquire);
  if (now == epoch) return;
  epoch = now;
  salt = EpochSalt(*secret, root->name, now);
  ComputeFingerprints();
  std::fill(locations.begin(), locations.end(), Location{});
  // Other pages from here on: another request.
  request.reset();
}

void Path::Impl::Truncate(size_t pages) noexcept {
  chain.resize(pages + 1);
  fingerprints.resize(pages);
  locations.resize(pages);
}

std::unique_ptr<Path::Impl> PathMaker::Start(std::shared_ptr<RootState> root, PathKind kind,
                                             Digest root_digest, size_t pages) const noexcept {
  auto path = std::make_unique<Path::Impl>();
  path->store_instance = store_instance;
  path->kind = kind;
  path->stem_pages = stem_pages;
  path->secret = &secret;
  path->epoch = root->epoch.load(std::memory_order_acquire);
  path->salt = EpochSalt(secret, root->name, path->epoch);
  path->root = std::move(root);
  path->chain.reserve(pages + 1);
  path->chain.push_back(root_digest);
  path->locations.resize(pages);
  return path;
}

std::unique_ptr<Path::Impl> PathMaker::FromTokens(std::shared_ptr<RootState> root,
                                                  std::string_view root_text,
                                                  std::span<const uint32_t> tokens,
                                                  uint32_t page_tokens) const noexcept {
  const size_t pages = tokens.size() / page_tokens;
  auto path = Start(std::move(root), PathKind::kTokens,
                    RootDigest(secret, PathKind::kTokens, page_tokens, root_text), pages);
  path->page_tokens = page_tokens;
  for (size_t page = 0; page < pages; ++page) {
    const auto bytes = std::as_bytes(tokens.subspan(page * page_tokens, page_tokens));
    path->chain.push_back(ChildDigest(secret, path->chain.back(), PathKind::kTokens, bytes));
  }
  path->ComputeFingerprints();
  return path;
}

std::unique_ptr<Path::Impl> PathMaker::FromDigests(
    std::shared_ptr<RootState> root, std::string_view root_text, PathKind kind,
    std::span<const uint8_t> digests32) const noexcept {
  const size_t pages = digests32.size() / kDigestBytes;
  const Digest root_digest = RootDigest(secret, kind, 0, root_text);
  auto path = Start(std::move(root), kind, root_digest, pages);
  for (size_t page = 0; page < pages; ++page) {
    const auto bytes = std::as_bytes(digests32.subspan(page * kDigestBytes, kDigestBytes));
    const Digest parent = kind == PathKind::kFlatKeys ? root_digest : path->chain.back();
    path->chain.push_back(ChildDigest(secret, parent, kind, bytes));
  }
  path->ComputeFingerprints();
  return path;
}

}  // namespace lamina
