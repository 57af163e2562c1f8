// Package cloud is EC2 behind the few calls that the allocator uses: what an
// instance, its type, its network interface and its subnet are, and the two
// calls that change a slot.
//
// Three things are settled here so that nobody else has to think of them:
//
//   - Cost. Lookups by id share calls, and each API action has a token bucket
//     that slows down while EC2 throttles.
//   - Order. A change waits for its token in Admit, where the most urgent comes
//     first, and is planned only afterwards.
//   - Errors. Every one is an *Error whose Class says what may be done next. A
//     change is never repeated here or in the SDK: if its answer is lost, it may
//     have been done.
//
// Only the allocator comes in. What the answers mean for a node is decided in
// allocator/ledger and allocator/subnet; nothing is logged here.
package cloud
