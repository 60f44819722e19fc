#include "engine/index/stem_key.h"

#include "engine/base/coding.h"
#include "engine/base/status.h"

namespace lamina {
namespace {

uint64_t LoadBigEndian(const char* from) noexcept {
  return __builtin_bswap64(LoadFixed<uint64_t>(from));
}

void AppendHex(std::string* out, uint64_t value) noexcept {
  static constexpr char kDigits[] = "0123456789abcdef";
  for (int shift = 60; shift >= 0; shift -= 4) out->push_back(kDigits[(value >> shift) & 15]);
}

}  // namespace

KeyBytes::KeyBytes(const StemKey& key) noexcept
    : size_(kAnchorBytes + key.fingerprints.size() * kFingerprintBytes) {
  LAMINA_CHECK(key.fingerprints.size() <= kMaxStemPages);
  StoreFixed(bytes_.data(), __builtin_bswap64(key.anchor.high));
  StoreFixed(bytes_.data() + 8, __builtin_bswap64(key.anchor.low));
  unsigned char* at = bytes_.data() + kAnchorBytes;
  for (const Fingerprint f : key.fingerprints) {
    StoreFixed(at, __builtin_bswap64(f));
    at += kFingerprintBytes;
  }
}

std::optional<OwnedStemKey> ParseKeyBytes(std::string_view bytes) noexcept {
  if (bytes.size() < kAnchorBytes + kFingerprintBytes || bytes.size() > kMaxKeyBytes ||
      (bytes.size() - kAnchorBytes) % kFingerprintBytes != 0)
    return std::nullopt;
  OwnedStemKey key;
  key.anchor = {LoadBigEndian(bytes.data()), LoadBigEndian(bytes.data() + 8)};
  for (size_t at = kAnchorBytes; at < bytes.size(); at += kFingerprintBytes) {
    const Fingerprint f = LoadBigEndian(bytes.data() + at);
    if (f == 0) return std::nullopt;
    key.fingerprints.push_back(f);
  }
  return key;
}

std::string KeyToString(const StemKey& key) noexcept {
  constexpr size_t kShown = 4;
  std::string text;
  AppendHex(&text, key.anchor.high);
  AppendHex(&text, key.anchor.low);
  const size_t depth = key.fingerprints.size();
  for (size_t i = 0; i < depth; ++i) {
    if (depth > kShown && i == kShown / 2) {
      text += "|...";
      i = depth - kShown / 2;
    }
    text += '|';
    AppendHex(&text, key.fingerprints[i]);
  }
  return text;
}

}  // namespace lamina
