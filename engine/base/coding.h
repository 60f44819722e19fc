// Bytes to integers and back: little-endian fixed widths and LEB128 varints.
//
// Encoders append to a std::string. A Decoder walks bytes that came from disk: it never reads past
// the end, and after the first failure stays failed, so a parser may read a whole record and ask
// once.
#ifndef LAMINA_ENGINE_BASE_CODING_H_
#define LAMINA_ENGINE_BASE_CODING_H_

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "engine/base/keys.h"

namespace lamina {

static_assert(std::endian::native == std::endian::little,
              "formats are written as they lie in memory");

template <std::unsigned_integral T>
void PutFixed(std::string* out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out->append(bytes, sizeof(T));
}

inline void PutVarint(std::string* out, uint64_t value) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

// A length as a varint, then the bytes.
inline void PutBytes(std::string* out, std::string_view bytes) {
  PutVarint(out, bytes.size());
  out->append(bytes);
}

// 16 bytes, big-endian, so that they sort as values.
inline void PutDigest(std::string* out, Digest d) {
  PutFixed(out, __builtin_bswap64(d.high));
  PutFixed(out, __builtin_bswap64(d.low));
}

template <std::unsigned_integral T>
T LoadFixed(const void* from) noexcept {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

template <std::unsigned_integral T>
void StoreFixed(void* to, T value) noexcept {
  std::memcpy(to, &value, sizeof(T));
}

class Decoder {
 public:
  explicit Decoder(std::span<const std::byte> bytes) noexcept
      : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}
  explicit Decoder(std::string_view bytes) noexcept
      : Decoder(std::as_bytes(std::span(bytes.data(), bytes.size()))) {}

  // False once anything could not be read; what is returned after that is zero or empty.
  [[nodiscard]] bool ok() const noexcept { return ok_; }
  [[nodiscard]] size_t remaining() const noexcept { return static_cast<size_t>(end_ - at_); }
  [[nodiscard]] bool done() const noexcept { return ok_ && at_ == end_; }

  template <std::unsigned_integral T>
  T Fixed() noexcept {
    if (!Need(sizeof(T))) return 0;
    const T value = LoadFixed<T>(at_);
    at_ += sizeof(T);
    return value;
  }

  uint64_t Varint() noexcept {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (!Need(1)) return 0;
      const auto byte = static_cast<uint8_t>(*at_++);
      if (shift == 63 && byte > 1) break;
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    ok_ = false;
    return 0;
  }

  // A varint that must fit in 32 bits.
  uint32_t Varint32() noexcept {
    const uint64_t value = Varint();
    if (value > UINT32_MAX) ok_ = false;
    return ok_ ? static_cast<uint32_t>(value) : 0;
  }

  // A view into the decoder's bytes.
  std::string_view Bytes() noexcept {
    const uint64_t length = Varint();
    return Raw(length);
  }

  std::string_view Raw(uint64_t length) noexcept {
    if (!Need(length)) return {};
    const std::string_view view(reinterpret_cast<const char*>(at_), static_cast<size_t>(length));
    at_ += length;
    return view;
  }

  lamina::Digest Digest() noexcept {
    const auto high = __builtin_bswap64(Fixed<uint64_t>());
    const auto low = __builtin_bswap64(Fixed<uint64_t>());
    return {high, low};
  }

 private:
  bool Need(uint64_t bytes) noexcept {
    if (ok_ && bytes <= remaining()) return true;
    ok_ = false;
    return false;
  }

  const std::byte* at_;
  const std::byte* end_;
  bool ok_ = true;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_BASE_CODING_H_
