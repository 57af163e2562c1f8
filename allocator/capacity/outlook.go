package capacity

// Outlook is what a node will be able to do once some pods have ended.
type Outlook struct {
	Read      bool // the node's ledger is what EC2 and the API server say
	Retired   bool // the node is no more
	Now       int  // what remains now, in pods
	Cooling   int  // addresses that cool now
	Shown     int  // what its pods leave of the total that whoever watches the Node sees at the least; below zero: they ask for more
	Remaining int  // once they have ended, all that cools has cooled, and what leaves has left
	AtBest    int  // the same if EC2 brings all that it is asked for, which it may fail to do at the moment
}
