// What the simulated histories are about: a fixed set of paths whose prefixes are shared, and the
// bytes that each page has.
#ifndef LAMINA_TESTS_SIMULATION_WORLD_H_
#define LAMINA_TESTS_SIMULATION_WORLD_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/io/simulated_content.h"
#include "engine/lamina.h"

namespace lamina::simulation {

using Random = SimulatedRandom;

enum class PathForm : uint8_t { kTokens, kDigests, kKeys };
inline constexpr size_t kForms = 3;
// Prefixes of each other, so that a page that leaks from one root to another is met.
inline const std::vector<std::string> kRoots = {"model", "model\x01", "mode"};

// Names a page: root, form, and the tokens up to it (of a flat key, the key alone).
using PageId = uint64_t;

struct PathSpec {
  uint8_t root = 0;
  PathForm form = PathForm::kTokens;
  std::vector<uint32_t> tokens;  // one a page
  std::vector<PageId> pages;
};

class World {
 public:
  // How large pages are: of one size a root, or of several.
  struct Sizes {
    std::vector<uint32_t> of_root;
    bool mixed = false;
  };

  World(Random* random, Sizes sizes, size_t paths, size_t longest);

  [[nodiscard]] std::span<const PathSpec> paths() const { return paths_; }
  [[nodiscard]] uint32_t BytesOf(const PathSpec& spec, size_t page) const;
  // The path, made anew as a caller does for each request.
  static std::unique_ptr<Path> Open(Store& store, const PathSpec& spec);
  // The bytes of a page; each time that it is erased its next version has others.
  static void Fill(PageId page, uint32_t version, std::span<std::byte> out);
  [[nodiscard]] static bool Holds(PageId page, uint32_t version, std::span<const std::byte> bytes);

 private:
  const Sizes sizes_;
  std::vector<PathSpec> paths_;
};

}  // namespace lamina::simulation

#endif  // LAMINA_TESTS_SIMULATION_WORLD_H_
