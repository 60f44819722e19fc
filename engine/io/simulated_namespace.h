// Directories and inodes of a simulated disk: what names say now, and what they would say after a
// power cut. Not thread-safe; the disk's mutex guards it.
#ifndef LAMINA_ENGINE_IO_SIMULATED_NAMESPACE_H_
#define LAMINA_ENGINE_IO_SIMULATED_NAMESPACE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/simulated_content.h"

namespace lamina {

// A file or directory, named or still open.
struct SimulatedInode {
  bool directory = false;
  uint32_t links = 0;  // in the current names
  uint32_t opens = 0;

  // Files: what reads see, what a power cut leaves at least, and what it decides about.
  SimulatedContent current;
  SimulatedContent durable;
  std::vector<SimulatedChange> unsynced;
  std::set<uint64_t> unreadable_sectors;

  // Directories.
  std::map<std::string, std::shared_ptr<SimulatedInode>> entries;
  std::map<std::string, std::shared_ptr<SimulatedInode>> durable_entries;

  // Changes what reads see, not yet what a power cut leaves.
  void Change(SimulatedChange change) noexcept;
  void Sync() noexcept;
  // What a sync that fails leaves: changes count as clean, whatever became of them.
  void FailSync(SimulatedRandom* random) noexcept;
  // Changes bytes wherever they are: cached, waiting to be written, and on the disk.
  void Decay(uint64_t offset, uint64_t bytes,
             const std::function<void(size_t, std::byte&)>& change) noexcept;
};
using SimulatedInodePtr = std::shared_ptr<SimulatedInode>;

class SimulatedNamespace {
 public:
  struct Place {
    SimulatedInodePtr directory;
    std::string name;
    friend bool operator==(const Place&, const Place&) = default;
    friend auto operator<=>(const Place&, const Place&) = default;
  };

  SimulatedNamespace() noexcept;

  // Null when there is none.
  [[nodiscard]] SimulatedInodePtr Find(std::string_view path) const noexcept;
  // Where a path's last name would be: 0, or ENOENT, ENOTDIR, EINVAL.
  int Resolve(std::string_view path, Place* place) const noexcept;

  SimulatedInodePtr Create(const Place& place, bool directory) noexcept;
  void Unlink(const Place& place) noexcept;
  // Over what is there.
  void Move(const Place& from, const Place& to) noexcept;
  void SyncDirectory(const SimulatedInodePtr& directory) noexcept;
  // Makes what is durable, and of the rest what `random` says, all that there is.
  void CutPower(SimulatedRandom* random, double garbage = 0) noexcept;

  // The processes that had files open are gone.
  void ForgetOpens() noexcept;

  [[nodiscard]] std::vector<std::string> Files() const noexcept;
  // Of all files that have a name or are open.
  [[nodiscard]] uint64_t AllocatedBytes() const noexcept;

 private:
  // Entry `to` becomes `target` (null: none); of a rename, entry `from` goes with it.
  struct NameChange {
    Place to;
    SimulatedInodePtr target;
    Place from;  // without directory unless it is a rename
  };

  void Note(NameChange change) noexcept;
  static void ApplyToDurable(const NameChange& change) noexcept;

  SimulatedInodePtr root_;
  std::vector<NameChange> unsynced_;
  std::vector<std::weak_ptr<SimulatedInode>> inodes_;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_IO_SIMULATED_NAMESPACE_H_
