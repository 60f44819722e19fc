// The bytes of a page, derived from its name and its position in the path, so that every byte that
// an engine hands back can be checked without keeping a copy.
//
// Word i of a page (8 bytes, little-endian) is a function of (seed, i): a flipped byte, a shifted
// or torn page, and another page's bytes all differ. The name includes the root, so stores of two
// roots differ as well. Making and comparing run near memory speed, since they must not dominate a
// bench; the words look random to a compressing device.
#ifndef LAMINA_BENCH_PAYLOAD_H_
#define LAMINA_BENCH_PAYLOAD_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "bench/page_name.h"

namespace lamina::bench {

// `position` counts pages from the root.
void FillPayload(PageName name, uint64_t position, std::span<std::byte> page);

// The offset of the first byte that differs from what FillPayload writes; nothing when all agree.
std::optional<size_t> FindPayloadMismatch(PageName name, uint64_t position,
                                          std::span<const std::byte> page);

}  // namespace lamina::bench

#endif  // LAMINA_BENCH_PAYLOAD_H_
