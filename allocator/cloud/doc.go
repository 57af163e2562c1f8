// Package cloud is EC2 behind the few calls that the allocator uses: what an
// instance, its type, its network interface and its subnet are, and the two
// calls that change a slot.
//
// It takes care of three things, so that its callers need not:
//
//   - Cost. Lookups by id share calls, and each API action has a token bucket
//     that slows down while EC2 throttles.
//   - Order. A change waits for its token in Admit, where the most urgent comes
//     first, and is planned only afterwards.
//   - Errors. Every one is an *Error whose Class says what may be done next. A
//     change is never repeated here or in the SDK: if its answer is lost, it may
//     have been done.
//
// Packages of the allocator use it, and no others. What the answers mean for a
// node is decided in allocator/ledger and allocator/subnet. Nothing is logged here.
package cloud
