// Package nodeslots keeps the NodeSlots objects. They show people the ledgers, and tell
// the next leader which addresses were free.
//
// After a crash an address may be given at once only if no pod can have had it a moment
// ago. The list status.knownFree is a promise of that: nobody gives an address while its
// node's list stands. So before the first address of a busy time is given, the list is
// taken back (Object.TakeBack); once the node has been still for a while, it is written
// anew. A burst costs one write a node.
package nodeslots
