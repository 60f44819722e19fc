// Measures the filter's false-positive rate at many sizes and prints the table of
// engine/index/filter_fpr.h. Deterministic: the keys come from a fixed seed.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

#include "engine/base/keys.h"
#include "engine/index/filter.h"

namespace {

using lamina::HashOf;
using lamina::PageKey;

constexpr size_t kKeys = size_t{1} << 20;
constexpr size_t kMinFalsePositives = 2000;  // two per cent of noise
constexpr size_t kMaxChecks = size_t{1} << 26;

PageKey RandomKey(std::mt19937_64& random) { return {{random(), random()}, random() | 1}; }

double MeasureRate(const std::vector<uint64_t>& hashes, double bits_per_key, uint32_t probes) {
  std::vector<std::byte> lines(lamina::FilterBytes(hashes.size(), bits_per_key));
  lamina::BuildFilter(hashes, probes, lines);
  const lamina::Filter filter(lines, probes);
  std::mt19937_64 random(2);
  size_t checks = 0;
  size_t positives = 0;
  while (checks < kMaxChecks && positives < kMinFalsePositives) {
    for (size_t i = 0; i < kKeys / 4; ++i)
      positives += filter.MayContain(HashOf(RandomKey(random))) ? 1 : 0;
    checks += kKeys / 4;
  }
  return static_cast<double>(positives) / static_cast<double>(checks);
}

}  // namespace

int main() {
  std::mt19937_64 random(1);
  std::vector<uint64_t> hashes(kKeys);
  for (uint64_t& hash : hashes) hash = HashOf(RandomKey(random));

  uint32_t probes = 1;
  for (const double bits :
       {0.25, 0.5,  0.75, 1.0,  1.5,  2.0,  2.5,  3.0,  3.5,  4.0,  5.0,  6.0,  7.0,  8.0,
        9.0,  10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 18.0, 20.0, 22.0, 24.0, 28.0, 32.0}) {
    // The best count never falls as bits grow.
    double best = MeasureRate(hashes, bits, probes);
    while (probes < lamina::kMaxFilterProbes) {
      const double next = MeasureRate(hashes, bits, probes + 1);
      if (next >= best) break;
      best = next;
      ++probes;
    }
    std::printf("    FilterFprPoint{%.2f, %u, %.3e},\n", bits, probes, best);
    std::fflush(stdout);
  }
}
