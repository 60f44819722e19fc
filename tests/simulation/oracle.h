// What is known of each page: with which bytes it may be found, and whether it must be.
//
// A page may be found with the bytes of any put since it was erased last; each erase makes the
// next put's bytes others, so that an erased page that comes back is told from one put anew. A page
// is *promised* from its acknowledgement until the store condemns it, which is seen in its slot. A
// promise holds across the death of the process, and, once it is *durable*, across power cuts.
#ifndef LAMINA_TESTS_SIMULATION_ORACLE_H_
#define LAMINA_TESTS_SIMULATION_ORACLE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "tensorlog/tensor_log.h"
#include "tests/simulation/world.h"

namespace lamina::simulation {

class Oracle {
 public:
  struct Page {
    uint32_t next_version = 0;           // that a put would write
    std::vector<uint32_t> may;           // versions that may be found
    std::vector<uint32_t> on_their_way;  // of submitted puts that have not been served
    bool promised = false;
    bool durable = false;
    // The disk may have changed its bytes, which the next get would tell.
    bool suspect = false;
    // An erase of it has failed, or a sync of a segment: the page may go until the store is opened
    // again. The sync need not have been one of its own segment, nor have lost anything: a store
    // cannot know, and gives up all that is not durable in the directory.
    bool doubtful = false;
    // A sync of tensors that lost writes has failed since it was put. The process in which that
    // happens gives up what was not durable; but one that is opened before that could be written
    // down finds the page in the journal, reads it, and cannot know that the next sync says nothing
    // about it. So a power cut may take it, though it was flushed.
    bool sync_failed = false;
    uint64_t tag = 0;  // of the promised copy's slot
    SlotRef slot;      // the same, as last seen
  };

  Page& page(PageId id) { return pages_[id]; }
  [[nodiscard]] std::map<PageId, Page>& pages() { return pages_; }

  // A put of the page begins, or is submitted.
  void Putting(PageId id);
  void Submitted(PageId id);
  void Served(PageId id, uint32_t version);
  struct Answer {
    uint64_t tag = 0;
    SlotRef slot;
    bool durable = false;     // as an acknowledgement says
    bool read = false;        // by a get, whose bytes were right; otherwise by a put
    bool may_be_new = false;  // the put may have stored it beside a copy that it could not read
  };
  void Acknowledged(PageId id, const Answer& answer);
  // An erase begins; then it has been acknowledged.
  void Erasing(PageId id);
  void Erased(PageId id);
  void Flushed();
  // `lossy`: what was written may never reach the disk.
  void SyncFailed(bool lossy);
  void Opened();
  // Nothing is promised any more.
  void PromiseNothing();
  // The disk may have changed the bytes of any page.
  void Suspect();
  void PowerCut();

  // Which version these bytes are; empty text, or why they may not be the page's.
  std::string CheckBytes(PageId id, std::span<const std::byte> bytes) const;
  [[nodiscard]] bool Promised(PageId id) const;
  // Whether the page may be there at all.
  [[nodiscard]] bool May(PageId id) const;
  // Every version that there ever was may be found from now on: the disk has lied.
  void TrustNothing();

  struct Seen {
    uint64_t condemned = 0;  // promises that ended so
    uint64_t vanished = 0;   // whose slots hold something else now
  };
  // Ends the promises whose pages are alive no more; of those that vanished only with
  // `may_vanish`.
  Seen Look(const TensorLog& log, bool may_vanish);

 private:
  std::map<PageId, Page> pages_;
  bool trust_nothing_ = false;
};

}  // namespace lamina::simulation

#endif  // LAMINA_TESTS_SIMULATION_ORACLE_H_
