// The bytes of one simulated file, and changes to them that a power cut may lose or tear.
#ifndef LAMINA_ENGINE_IO_SIMULATED_CONTENT_H_
#define LAMINA_ENGINE_IO_SIMULATED_CONTENT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <vector>

namespace lamina {

// Decides what happens, the same for the same seed with every standard library.
class SimulatedRandom {
 public:
  explicit SimulatedRandom(uint64_t seed) noexcept : engine_(seed) {}
  // Draws nothing for probabilities of 0, so that unused faults do not change a history.
  bool Chance(double probability) noexcept {
    return probability > 0 && static_cast<double>(engine_() >> 11) * 0x1p-53 < probability;
  }
  bool Coin() noexcept { return (engine_() & 1) != 0; }
  uint64_t Below(uint64_t bound) noexcept { return engine_() % bound; }

 private:
  std::mt19937_64 engine_;
};

// Sparse; copies share their blocks until one is changed.
class SimulatedContent {
 public:
  static constexpr uint64_t kBlockBytes = 4096;
  static constexpr uint64_t kMaxBytes = uint64_t{1} << 40;

  [[nodiscard]] uint64_t size() const noexcept { return size_; }
  [[nodiscard]] uint64_t allocated_bytes() const noexcept {
    return allocated_blocks_ * kBlockBytes;
  }
  // What a write of the range would allocate.
  [[nodiscard]] uint64_t NewBytes(uint64_t offset, uint64_t bytes) const noexcept;

  // Zeros where nothing was written.
  void Read(uint64_t offset, std::span<std::byte> out) const noexcept;
  // As it was before each block's last overwrite.
  void ReadOverwritten(uint64_t offset, std::span<std::byte> out) const noexcept;
  // Grows the file where needed.
  void Write(uint64_t offset, std::span<const std::byte> data) noexcept;
  // Reserves [0, bytes) and makes that the size.
  void Allocate(uint64_t bytes) noexcept;
  void Punch(uint64_t offset, uint64_t bytes) noexcept;
  void Resize(uint64_t bytes) noexcept;
  // Calls change(index in the range, byte) for what of the range there is.
  void Decay(uint64_t offset, uint64_t bytes,
             const std::function<void(size_t, std::byte&)>& change) noexcept;

 private:
  using Block = std::array<std::byte, kBlockBytes>;
  using Blocks = std::map<uint64_t, std::shared_ptr<Block>>;

  void ReadFrom(const Blocks* first, uint64_t offset, std::span<std::byte> out) const noexcept;
  void Reserve(uint64_t first_block, uint64_t end_block) noexcept;
  void Release(uint64_t first_block, uint64_t end_block) noexcept;
  void Zero(uint64_t offset, uint64_t bytes) noexcept;

  uint64_t size_ = 0;
  Blocks blocks_;
  Blocks overwritten_;
  std::vector<bool> allocated_;  // by block
  uint64_t allocated_blocks_ = 0;
};

struct SimulatedChange {
  static constexpr uint64_t kSectorBytes = 512;
  enum class Kind : uint8_t { kWrite, kAllocate, kPunch, kResize };

  Kind kind = Kind::kWrite;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  std::vector<std::byte> data = {};  // of a write

  void ApplyTo(SimulatedContent* content) const noexcept;
  // Applies all, nothing, or for a write any of its sectors, and of a change of size either.
  void ApplyTornTo(SimulatedContent* content, SimulatedRandom* random,
                   double garbage = 0) const noexcept;
  // The parts of a write that land when it is cut off: any of its sectors. Of those that do not,
  // whole ones may become `garbage`, with this probability.
  [[nodiscard]] std::vector<SimulatedChange> Pieces(SimulatedRandom* random,
                                                    double garbage = 0) const noexcept;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_IO_SIMULATED_CONTENT_H_
