// Bugs that are seeded on purpose, so that a test can show that each of them is caught.
//
// There is none in the library: Mutated is a constant false, which the compiler evaluates. Only the
// copy of the engine that tests/mutations links is compiled with LAMINA_MUTATIONS; there the test
// switches one on at a time, and its scenario has to notice.
#ifndef LAMINA_ENGINE_BASE_MUTATION_H_
#define LAMINA_ENGINE_BASE_MUTATION_H_

#include <atomic>
#include <cstdint>

namespace lamina {

enum class Mutation : uint8_t {
  // Durability.
  kSkipPayloadSync,         // segments are not synced
  kSkipJournalSync,         // nor is the journal
  kSkipManifestSync,        // nor an edit of the manifest
  kSkipDirectorySync,       // nor the directory of new tables and slot tables
  kRetryFailedSync,         // a sync that failed is made again as if it had not
  kAckBeforeJournal,        // a put is acknowledged whatever becomes of its journal block
  kEraseWithoutFlush,       // an erase returns before the checkpoint that makes it durable
  kPassUnfinishedPuts,      // a checkpoint's position lies above puts that are not published
  kLatePosition,            // a checkpoint's position is fixed after slot tables were copied
  kUnlinkBeforeCheckpoint,  // a segment goes before what was moved out of it is durable
  // Recovery.
  kReplayFirstPutOnly,     // the second put of a page in the journal is dropped
  kTrustUnproven,          // a page that was only replayed is skipped as present by a put
  kForgetEpoch,            // a root is in epoch 0 again after a restart
  kIgnoreJournalChecksum,  // of a journal block
  // Whether an entry counts.
  kTrustEntryWithoutTag,  // it does without its slot's tag
  kIgnoreGuard,           // it does for every page with this fingerprint
  kTagWithoutChecksum,    // a page's tag is the same whatever its bytes
  kKeepTag,               // a slot bears its tag while it is overwritten
  kOverwritePinned,       // a slot is overwritten while it is read
  kPublishRejected,       // pages that a put gave up are journaled and published
  kDropStemEntries,       // a merge keeps the first entry of a stem
  // What bytes are right.
  kIgnoreChecksum,          // any are
  kSeedWithoutIdentity,     // those of any page, under their own checksum
  kIgnoreSeed,              // so, since the hash ignores its seed for all but short inputs
  kShortTransferIsWhole,    // a transfer that moved fewer bytes than asked has moved all
  kIgnoreTableChecksum,     // of an SSTable's block
  kIgnoreManifestChecksum,  // of an edit
  // Who is who.
  kTruncateTokens,  // tokens have 16 bits
  kMixKinds,        // kinds of path share pages
  kCutRoots,        // a root ends at its first NUL
  kCount,

  // No bug but bad luck, under which everything has to hold: fingerprints have four values.
  kCollideFingerprints,
};

#ifdef LAMINA_MUTATIONS

// A bit for each.
inline std::atomic<uint64_t> active_mutations{0};

inline bool Mutated(Mutation mutation) noexcept {
  const uint64_t bit = uint64_t{1} << static_cast<unsigned>(mutation);
  return (active_mutations.load(std::memory_order_relaxed) & bit) != 0;
}

#else

consteval bool Mutated(Mutation) noexcept { return false; }

#endif

}  // namespace lamina

#endif  // LAMINA_ENGINE_BASE_MUTATION_H_
