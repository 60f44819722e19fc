// Each bug that is seeded on purpose (engine/base/mutation.h) is caught by the scenario that is
// named for it here, and without the bug no scenario finds anything.
#include <catch2/catch.hpp>
#include <cstdlib>

#include "engine/base/mutation.h"
#include "tests/mutations/scenario.h"

namespace lamina::testing {
namespace {

struct Case {
  Mutation bug;
  const char* name;
  Scenario scenario;
  bool collide = false;  // with fingerprints that collide
};

constexpr Case kCases[] = {
    {Mutation::kSkipPayloadSync, "skip the sync of payloads", FlushedPagesSurviveAPowerCut},
    {Mutation::kSkipJournalSync, "skip the sync of the journal", BatchedPutsSurviveAPowerCut},
    {Mutation::kSkipManifestSync, "skip the sync of the manifest",
     ErasedPagesStayErasedAfterAPowerCut},
    {Mutation::kSkipDirectorySync, "skip the sync of a directory", FlushedPagesSurviveAPowerCut},
    {Mutation::kRetryFailedSync, "retry a failed sync", AFailedSyncPromisesNothing},
    {Mutation::kAckBeforeJournal, "acknowledge before completion",
     PutsWithoutJournalAreNotAcknowledged},
    {Mutation::kEraseWithoutFlush, "return from an erase too early",
     ErasedPagesStayErasedAfterAKill},
    {Mutation::kPassUnfinishedPuts, "checkpoint past an unfinished put", UnfinishedPutsAreReplayed},
    {Mutation::kLatePosition, "fix the checkpoint's position after copying slot tables",
     PutsDuringACheckpointSurviveAKill},
    {Mutation::kUnlinkBeforeCheckpoint, "unlink a segment before its moves are durable",
     MovedPagesSurviveAPowerCut},
    {Mutation::kReplayFirstPutOnly, "drop the second put of a page in replay",
     EveryPutOfAPageIsReplayed},
    {Mutation::kTrustUnproven, "skip an unproven page as present", UnprovenPagesAreWrittenAgain},
    {Mutation::kForgetEpoch, "forget a root's epoch", PagesOfANewEpochSurviveARestart},
    {Mutation::kIgnoreJournalChecksum, "ignore a journal block's checksum",
     DamagedJournalBlocksTouchNoOtherPage},
    {Mutation::kTrustEntryWithoutTag, "trust an entry without its tag", ErasedPagesAreNotFound},
    {Mutation::kIgnoreGuard, "ignore guards", CollidingFingerprintsAreToldApart, true},
    {Mutation::kTagWithoutChecksum, "leave the checksum out of the tag",
     OldEntriesDoNotCountForNewBytes},
    {Mutation::kKeepTag, "keep the tag while overwriting", PutsSeeThatTheirSlotIsBeingOverwritten},
    {Mutation::kOverwritePinned, "overwrite a pinned slot", PinnedSlotsAreNotOverwritten},
    {Mutation::kPublishRejected, "publish a rejected page", RejectedPagesAreNotServed},
    {Mutation::kDropStemEntries, "drop a stem's entries in a merge", MergesKeepAllEntries},
    {Mutation::kIgnoreChecksum, "ignore a page's checksum", DamagedPayloadsAreMisses},
    {Mutation::kSeedWithoutIdentity, "seed the checksum without the identity",
     EntriesOfOtherPagesAreMisses},
    {Mutation::kIgnoreSeed, "ignore the checksum's seed", EntriesOfOtherPagesAreMisses},
    {Mutation::kShortTransferIsWhole, "take a short transfer for whole", ShortTransfersAreResumed},
    {Mutation::kIgnoreTableChecksum, "ignore a table block's checksum", DamagedTablesAreReported},
    {Mutation::kIgnoreManifestChecksum, "ignore the manifest's checksum",
     DamagedManifestsAreRefused},
    {Mutation::kTruncateTokens, "cut tokens to 16 bits", TokensHaveAllTheirBits},
    {Mutation::kMixKinds, "let kinds of path share pages", KindsOfPathShareNothing},
    {Mutation::kCutRoots, "end roots at a NUL", RootsMayHoldAnyBytes},
};

uint64_t BitOf(Mutation mutation) { return uint64_t{1} << static_cast<unsigned>(mutation); }

// Switches bugs on for as long as it lives.
class Seeded {
 public:
  explicit Seeded(uint64_t bits) { active_mutations = bits; }
  ~Seeded() { active_mutations = 0; }
  Seeded(const Seeded&) = delete;
  Seeded& operator=(const Seeded&) = delete;
};

std::string Run(const Case& one, uint64_t bugs) {
  const Seeded seeded(bugs | (one.collide ? BitOf(Mutation::kCollideFingerprints) : 0));
  try {
    return one.scenario();
  } catch (const BrokenPromise& broken) {
    return broken.what;
  }
}

TEST_CASE("no scenario finds anything where no bug was seeded") {
  for (const Case& one : kCases) {
    CAPTURE(one.name);
    CHECK(Run(one, 0) == "");
  }
}

TEST_CASE("each seeded bug is caught") {
  for (const Case& one : kCases) {
    CAPTURE(one.name);
    const std::string caught = Run(one, BitOf(one.bug));
    CHECK(caught != "");
    if (std::getenv("LAMINA_SHOW_CAUGHT") != nullptr) WARN(one.name << ": " << caught);
  }
}

TEST_CASE("every bug that can be seeded has its scenario") {
  constexpr auto kCount = static_cast<size_t>(Mutation::kCount);
  static_assert(kCount >= 18);
  REQUIRE(std::size(kCases) == kCount);
  for (size_t i = 0; i < kCount; ++i) CHECK(static_cast<size_t>(kCases[i].bug) == i);
}

}  // namespace
}  // namespace lamina::testing
