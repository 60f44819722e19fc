#include "engine/base/coding.h"

#include <array>
#include <catch2/catch.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace lamina {
namespace {

TEST_CASE("what is encoded is decoded, and then the bytes are at their end") {
  const std::vector<uint64_t> values = {0,       1,          127,        128,       16383,
                                        1 << 14, UINT32_MAX, 1ull << 62, UINT64_MAX};
  std::string bytes;
  for (const uint64_t value : values) PutVarint(&bytes, value);
  PutFixed<uint32_t>(&bytes, 0x01020304);
  PutBytes(&bytes, "text");
  PutDigest(&bytes, {.high = 1, .low = 2});

  Decoder decoder(bytes);
  for (const uint64_t value : values) CHECK(decoder.Varint() == value);
  CHECK(decoder.Fixed<uint32_t>() == 0x01020304);
  CHECK(decoder.Bytes() == "text");
  CHECK(decoder.Digest() == Digest{.high = 1, .low = 2});
  CHECK(decoder.done());
}

TEST_CASE("fixed integers lie little-endian and digests sort as their bytes") {
  std::string fixed;
  PutFixed<uint32_t>(&fixed, 0x01020304);
  CHECK(fixed == std::string("\x04\x03\x02\x01"));
  std::string low;
  std::string high;
  PutDigest(&low, {.high = 0x00000000000000FF, .low = UINT64_MAX});
  PutDigest(&high, {.high = 0x0100000000000000, .low = 0});
  CHECK(low < high);
}

TEST_CASE("a decoder fails at each truncation, stays failed and never reads past the end") {
  std::string bytes;
  PutVarint(&bytes, 300);
  PutFixed<uint64_t>(&bytes, 7);
  PutBytes(&bytes, "abc");
  for (size_t length = 0; length < bytes.size(); ++length) {
    // A copy of exactly that size, so that the sanitizers see a read past it.
    const std::vector<char> cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length));
    Decoder decoder(std::string_view(cut.data(), cut.size()));
    decoder.Varint();
    decoder.Fixed<uint64_t>();
    decoder.Bytes();
    CHECK_FALSE(decoder.ok());
    CHECK_FALSE(decoder.done());
    CHECK(decoder.Varint() == 0);
  }
}

TEST_CASE("a varint that does not fit in 64 bits, or in the 32 asked for, is an error") {
  const std::string too_long(10, '\xFF');
  Decoder decoder(too_long);
  decoder.Varint();
  CHECK_FALSE(decoder.ok());

  std::string bytes;
  PutVarint(&bytes, uint64_t{UINT32_MAX} + 1);
  Decoder narrow(bytes);
  CHECK(narrow.Varint32() == 0);
  CHECK_FALSE(narrow.ok());
}

TEST_CASE("a length that says more than there is does not wrap around") {
  std::string bytes;
  PutVarint(&bytes, UINT64_MAX);
  bytes += "abc";
  Decoder decoder(bytes);
  CHECK(decoder.Bytes().empty());
  CHECK_FALSE(decoder.ok());
}

}  // namespace
}  // namespace lamina
