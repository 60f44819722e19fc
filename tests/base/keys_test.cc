#include "engine/base/keys.h"

#include <array>
#include <catch2/catch.hpp>
#include <cstdint>
#include <random>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lamina {
namespace {

Secret SecretOf(uint32_t seed) {
  std::mt19937 random(seed);
  Secret secret;
  for (uint8_t& byte : secret) byte = static_cast<uint8_t>(random());
  return secret;
}

std::span<const std::byte> BytesOf(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

uint64_t ChecksumInPieces(Fingerprint seed, std::span<const std::byte> bytes, size_t piece) {
  std::vector<std::span<const std::byte>> pieces;
  for (size_t at = 0; at < bytes.size(); at += piece)
    pieces.push_back(bytes.subspan(at, std::min(piece, bytes.size() - at)));
  return ChecksumOf(seed, pieces);
}

std::vector<std::byte> RandomBytes(size_t size) {
  std::mt19937 random(5);
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

TEST_CASE("roots differ by every part of what names them") {
  const Secret secret = SecretOf(1);
  std::set<Digest> seen;
  for (const PathKind kind : {PathKind::kTokens, PathKind::kDigests, PathKind::kFlatKeys})
    for (const uint32_t page_tokens : {0u, 16u, 64u})
      for (const std::string_view root : {"", "a", "ab", "b"})
        seen.insert(RootDigest(secret, kind, page_tokens, root));
  CHECK(seen.size() == 3 * 3 * 4);
  CHECK(RootDigest(SecretOf(2), PathKind::kTokens, 16, "a") !=
        RootDigest(secret, PathKind::kTokens, 16, "a"));
  CHECK(RootName(secret, "a") != RootDigest(secret, PathKind::kTokens, 0, "a"));
}

TEST_CASE("a page's digest depends on its content, its parent, its kind and the secret") {
  const Secret secret = SecretOf(1);
  const Digest root = RootDigest(secret, PathKind::kTokens, 4, "model");
  const Digest page = ChildDigest(secret, root, PathKind::kTokens, BytesOf("page"));
  CHECK(page == ChildDigest(secret, root, PathKind::kTokens, BytesOf("page")));
  CHECK(page != ChildDigest(secret, root, PathKind::kTokens, BytesOf("pagE")));
  CHECK(page != ChildDigest(secret, page, PathKind::kTokens, BytesOf("page")));
  CHECK(page != ChildDigest(secret, root, PathKind::kDigests, BytesOf("page")));
  CHECK(page != ChildDigest(SecretOf(2), root, PathKind::kTokens, BytesOf("page")));
}

TEST_CASE("a page hashes the same whether its tokens fit the inline buffer or not") {
  // Both sides of the limit are one function to callers: no digest may depend on where it lies.
  const Secret secret = SecretOf(1);
  std::set<Digest> seen;
  for (const size_t size : {4095u, 4096u, 4097u, 8192u}) {
    const std::vector<std::byte> page = RandomBytes(size);
    const Digest digest = ChildDigest(secret, {}, PathKind::kTokens, page);
    CHECK(digest == ChildDigest(secret, {}, PathKind::kTokens, page));
    seen.insert(digest);
  }
  CHECK(seen.size() == 4);
}

TEST_CASE("epoch 0 changes nothing, and every later epoch changes every page") {
  const Secret secret = SecretOf(1);
  const Digest root = RootName(secret, "model");
  CHECK(EpochSalt(secret, root, 0) == Digest{});
  CHECK(EpochSalt(secret, root, 1) != EpochSalt(secret, root, 2));
  CHECK(EpochSalt(secret, root, 1) != EpochSalt(secret, RootName(secret, "other"), 1));
}

TEST_CASE("stem keys sort parents before children and siblings together") {
  const Digest anchor = {.high = 5, .low = 5};
  const std::vector<Fingerprint> a = {1};
  const std::vector<Fingerprint> ab = {1, 2};
  const std::vector<Fingerprint> ac = {1, 3};
  const std::vector<Fingerprint> b = {2};
  const std::vector<StemKey> sorted = {
      {{.high = 4, .low = 9}, b}, {anchor, a}, {anchor, ab}, {anchor, ac}, {anchor, b}};
  for (size_t i = 0; i < sorted.size(); ++i)
    for (size_t j = 0; j < sorted.size(); ++j) CHECK(Compare(sorted[i], sorted[j]) == (i <=> j));
}

TEST_CASE("a fingerprint of 0 is stored as 1") {
  CHECK(FingerprintOf({.high = 0, .low = 7}) == 1);
  CHECK(FingerprintOf({.high = 9, .low = 7}) == 9);
}

TEST_CASE("a checksum does not depend on how the page lies in pieces") {
  const std::vector<std::byte> page = RandomBytes(2 * kChunkBytes + 12345);
  const uint64_t whole = ChecksumInPieces(7, page, page.size());
  for (const size_t piece : {size_t{4096}, size_t{100001}, kChunkBytes, kChunkBytes + 1})
    CHECK(ChecksumInPieces(7, page, piece) == whole);
  std::vector<uint64_t> sums;
  for (size_t at = 0; at < page.size(); at += kChunkBytes) {
    const std::array chunk = {
        std::span<const std::byte>(page).subspan(at, std::min(kChunkBytes, page.size() - at))};
    sums.push_back(ChunkSum(7, chunk));
  }
  CHECK(CombineChunkSums(7, sums) == whole);
}

TEST_CASE("a checksum knows its page: the same bytes under another identity do not pass") {
  for (const size_t size : {size_t{16}, size_t{300}, size_t{4096}, kChunkBytes + 1}) {
    const std::vector<std::byte> page = RandomBytes(size);
    CHECK(ChecksumInPieces(7, page, size) != ChecksumInPieces(8, page, size));
  }
}

TEST_CASE("a checksum sees any flipped bit") {
  std::vector<std::byte> page = RandomBytes(4096);
  const uint64_t right = ChecksumInPieces(7, page, page.size());
  for (size_t bit = 0; bit < 8 * page.size(); bit += 37) {
    page[bit / 8] ^= std::byte(1u << (bit % 8));
    CHECK(ChecksumInPieces(7, page, page.size()) != right);
    page[bit / 8] ^= std::byte(1u << (bit % 8));
  }
}

TEST_CASE("a tag is never 0 and depends on fingerprint and checksum") {
  std::set<uint64_t> tags;
  for (uint64_t f = 1; f <= 100; ++f)
    for (uint64_t checksum = 0; checksum < 100; ++checksum) tags.insert(TagOf(f, checksum));
  CHECK(tags.size() == 100 * 100);
  CHECK(tags.count(0) == 0);
}

}  // namespace
}  // namespace lamina
