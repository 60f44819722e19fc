#include "engine/store/path.h"

#include <algorithm>
#include <utility>

namespace lamina {

Path::Path(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Path::~Path() = default;
size_t Path::pages() const noexcept { return impl_->pages(); }

size_t PathKeys::stem_end(size_t page) const noexcept {
  if (kind == PathKind::kFlatKeys) return page + 1;
  return std::min(pages(), stem_begin(page) + stem_pages);
}

Digest PathKeys::anchor(size_t page) const noexcept {
  // The digest of the page before the stem, or the root's; a flat key anchors itself.
  const size_t s = kind == PathKind::kFlatKeys ? page + 1 : stem_begin(page);
  return (*chain_)[s] ^ salt;
}

void PathKeys::SetChain(std::vector<Digest> chain) noexcept {
  chain_ = std::make_shared<const std::vector<Digest>>(std::move(chain));
  ComputeFingerprints();
}

void PathKeys::ComputeFingerprints() noexcept {
  std::vector<Fingerprint> all(chain_->size() - 1);
  for (size_t page = 0; page < all.size(); ++page) all[page] = FingerprintOf(digest(page));
  own_fingerprints_ = std::make_shared<const std::vector<Fingerprint>>(std::move(all));
  fingerprints = *own_fingerprints_;
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

std::unique_ptr<Path::Impl> PathMaker::Make(std::shared_ptr<RootState> root, PathKind kind,
                                            std::vector<Digest> chain) const noexcept {
  auto path = std::make_unique<Path::Impl>();
  path->store_instance = store_instance;
  path->kind = kind;
  path->stem_pages = stem_pages;
  path->secret = &secret;
  path->epoch = root->epoch.load(std::memory_order_acquire);
  path->salt = EpochSalt(secret, root->name, path->epoch);
  path->root = std::move(root);
  path->locations.resize(chain.size() - 1);
  path->SetChain(std::move(chain));
  return path;
}

std::unique_ptr<Path::Impl> PathMaker::FromTokens(std::shared_ptr<RootState> root,
                                                  std::string_view root_text,
                                                  std::span<const uint32_t> tokens,
                                                  uint32_t page_tokens) const noexcept {
  const size_t pages = tokens.size() / page_tokens;
  std::vector<Digest> chain;
  chain.reserve(pages + 1);
  chain.push_back(RootDigest(secret, PathKind::kTokens, page_tokens, root_text));
  for (size_t page = 0; page < pages; ++page) {
    const auto bytes = std::as_bytes(tokens.subspan(page * page_tokens, page_tokens));
    chain.push_back(ChildDigest(secret, chain.back(), PathKind::kTokens, bytes));
  }
  auto path = Make(std::move(root), PathKind::kTokens, std::move(chain));
  path->page_tokens = page_tokens;
  return path;
}

std::unique_ptr<Path::Impl> PathMaker::FromDigests(
    std::shared_ptr<RootState> root, std::string_view root_text, PathKind kind,
    std::span<const uint8_t> digests32) const noexcept {
  const size_t pages = digests32.size() / kDigestBytes;
  std::vector<Digest> chain;
  chain.reserve(pages + 1);
  chain.push_back(RootDigest(secret, kind, 0, root_text));
  for (size_t page = 0; page < pages; ++page) {
    const auto bytes = std::as_bytes(digests32.subspan(page * kDigestBytes, kDigestBytes));
    const Digest parent = kind == PathKind::kFlatKeys ? chain.front() : chain.back();
    chain.push_back(ChildDigest(secret, parent, kind, bytes));
  }
  return Make(std::move(root), kind, std::move(chain));
}

}  // namespace lamina
