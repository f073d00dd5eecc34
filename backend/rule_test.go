package backend

import "testing"

func TestAClaimIsGrantedAllItNeedsOrNothing(t *testing.T) {
	cases(t, map[string]string{
		"two pools": `
			limits a=1 b=1
			enter x a
			enter y a b
			> x
			usage pool:b 0/1 +1
			release x
			> y
			usage pool:a 1/1 +0
			usage pool:b 1/1 +0`,
		"pools, queue and tags at once": `
			limits a=2 runs=2 tag:k=1
			enter x a #k=1
			enter y a #k=2
			> x
			usage pool:a 1/2 +1
			usage runs 1/2 +1
			blocks y tag:k 1/1 full x
			enter z a runs
			> z
			blocks y pool:a 2/2 full x,z; runs 2/2 full x,z; tag:k 1/1 full x
			release x
			> y`,
		"usage is what is held, weights counted": `
			limits a=5
			enter x a=2
			enter y a=3
			enter z a
			> x y
			usage pool:a 5/5 +1
			release y
			> z
			usage pool:a 3/5 +0
			release x z
			>
			usage pool:a 0/5 +0`,
		"what waits can leave": `
			limits a=1
			enter x a
			enter y a
			enter z a
			> x
			release y
			release x
			> z`,
	})
}

func TestTheOrderIsPriorityThenRankThenArrival(t *testing.T) {
	cases(t, map[string]string{
		"arrival": `
			limits a=0
			enter x a
			enter y a
			enter z a
			>
			limits a=3
			> x y z`,
		"priority before arrival": `
			limits a=0
			enter x a
			enter y a !2
			enter z a !-1
			enter v a !2
			enter w a !1
			limits a=9
			> y v w x z`,
		"extremes of 32 bits": `
			limits a=0
			enter x a !-2147483648
			enter y a !2147483647
			enter z a
			limits a=9
			> y z x`,
		"rank among equals": `
			limits a=0
			enter x a ~1
			enter y a ~7
			enter z a !1
			limits a=9
			> z y x`,
		"different needs, one order": `
			limits a=0 b=0
			enter x a
			enter y b
			enter z a b
			enter v b
			limits a=9 b=9
			> x y z v`,
		"bump": `
			limits a=1
			enter x a
			enter y a
			enter z a
			> x
			bump z 1
			release x
			> z
			release z
			> y`,
		"bump down": `
			limits a=0
			enter x a !5
			enter y a
			bump x -1
			limits a=2
			> y x`,
	})
}

func TestAClaimThatDoesNotFitIsPassedButInTheLimitsThatBlockIt(t *testing.T) {
	cases(t, map[string]string{
		"passed in other limits": `
			limits a=1 b=1
			enter x a
			enter y a b
			enter z b
			> x z
			blocks y pool:a 1/1 full x; pool:b 1/1 full z`,
		"a claim for 4 is not starved by claims for 1": `
			limits a=4
			enter x a
			enter big a=4
			enter y a
			> x
			blocks big pool:a 1/4 full x
			blocks y pool:a 1/4 behind x,big
			release x
			> big
			release big
			> y`,
		"nobody behind, with other needs too": `
			limits a=4 b=1
			enter x a
			enter big a=4
			enter y a b
			enter z b
			> x z
			blocks y pool:a 1/4 behind x,big; pool:b 1/1 full z`,
		"ahead of it is not behind it": `
			limits a=4
			enter x a
			enter big a=4
			enter y a !1
			> x y`,
		"who leaves blocks no more": `
			limits a=4
			enter x a
			enter big a=4
			enter y a
			> x
			release big
			> y`,
		"a limit that begins to block it in the same step is closed behind it": `
			limits a=0 b=1
			enter h b
			> h
			enter big a=2 b
			enter y a=1
			enter z a=1
			limits a=2 b=1
			> y
			blocks z pool:a 1/2 behind y,big`,
		"a limit that does not block it is open": `
			limits a=4 runs=1
			enter x runs
			enter big a=4 runs
			enter y a
			> x y`,
	})
}

func TestLimitsChangeLive(t *testing.T) {
	cases(t, map[string]string{
		"raising admits at once": `
			limits a=1
			enter x a
			enter y a
			enter z a
			> x
			limits a=2
			> y
			limits a=unlimited
			> z`,
		"lowering stops nobody, and nobody enters until used and asked fit": `
			limits a=3
			enter x a
			enter y a
			enter z a
			enter w a
			> x y z
			limits a=1
			>
			usage pool:a 3/1 +1
			release x y
			>
			release z
			> w`,
		"0 pauses, then 1": `
			limits a=1
			enter x a
			> x
			limits a=0
			enter y a
			enter big a=9
			impossible <nil>
			>
			blocks y pool:a 1/0 paused
			release x
			>
			limits a=1
			refuse big
			> y`,
		"a pool without its own limit follows the default": `
			limits
			enter x a
			enter y a
			enter z a
			> x
			limits default=2
			> y
			limits a=3
			> z
			limits default=2
			usage pool:a 3/2 +0`,
		"what became impossible is refused, in order": `
			limits a=4
			enter x a=4
			enter y a=3
			enter z a=2
			enter w a=3 !1
			> x
			limits a=2
			refuse w y
			>
			release x
			> z`,
		"runs of 0 start nothing": `
			limits runs=0
			enter x runs
			enter y a
			> y
			blocks x runs 0/0 paused`,
		"who stands aside is refused too": `
			limits a=2
			enter x a=2
			> x
			aside x
			limits a=1
			refuse x`,
	})
}

func TestAnImpossibleClaimFailsAtOnce(t *testing.T) {
	cases(t, map[string]string{
		"more than a limit": `
			limits a=2
			enter x a=3
			impossible asks 3 of pool:a, whose limit is 2; ask for less or raise the limit
			enter y a=2
			> y
			usage pool:a 2/2 +0`,
		"more than the built-in limit": `
			limits
			enter x a=2
			impossible asks 2 of pool:a, whose limit is 1; ask for less or raise the limit`,
		"more than a rate": `
			limits a=unlimited@3/1m
			enter x a=4
			impossible asks 4 of pool:a, more than its rate 3/1m ever admits`,
		"unlimited never": `
			limits a=unlimited
			enter x a=1000000
			> x`,
		"an ancestor holds it": `
			limits a=2
			enter x a=2
			> x
			enter y a ^x
			impossible asks 1 of pool:a, which its own run keeps from it for ever: x holds 2 of 2; raise the limit or claim it once, outside
			limits a=3
			enter y a ^x
			impossible <nil>
			> y`,
		"several ancestors hold it": `
			limits a=3 b=1
			enter x a b
			enter y a ^x
			> x y
			enter z a=2 ^x ^y
			impossible asks 2 of pool:a, which its own run keeps from it for ever: x holds 1, y holds 1 of 3; raise the limit or claim it once, outside
			enter v a ^x ^y
			> v`,
		"a stranger that holds it is only busy": `
			limits a=2
			enter x a=2
			enter y a
			impossible <nil>
			> x`,
		"an ancestor of a paused pool": `
			limits a=1
			enter x a
			> x
			limits a=0
			enter y a ^x
			impossible <nil>
			limits a=1
			refuse y
			>`,
		"a tag limit and the queue are asked for by runs alone": `
			limits runs=0 tag:k=0
			enter x a
			> x`,
	})
}

func TestTagLimitsCountEveryTagInEveryLimitThatMatches(t *testing.T) {
	cases(t, map[string]string{
		"key-wide, pair and per value": `
			limits tag:k=3 tag:k=v=1 tag:k=*=2
			enter a #k=v
			enter b #k=v
			enter c #k=w
			enter d #k=w
			enter e #k=u
			enter f #l=v
			> a c d f
			blocks b tag:k 3/3 full a,c,d; tag:k=v 1/1 full a
			blocks e tag:k 3/3 full a,c,d
			release a
			> b
			usage tag:k 3/3 +1
			release c
			> e`,
		"a tag without value is a value": `
			limits tag:k=*=1
			enter a #k
			enter b #k
			enter c #k=v
			> a c
			blocks b tag:k= 1/1 full a`,
		"0 never admits": `
			limits tag:k=v=0
			enter a #k=v
			enter b #k=w
			> b
			blocks a tag:k=v 0/0 paused`,
		"a claim is nested while a claim of the run that it names is held": `
			limits runs=1 tag:k=1
			enter a #k
			> a
			enter b #k p=1 ^^a/a
			> b                           // it is of run a
			usage runs 1/1 +0
			enter c #k ^^gone/gone
			enter d #k ^^a/gone
			> d                           // the claim that started it has ended, the run has not
			enter e #k ^^gone/a
			blocks c runs 1/1 full a; tag:k 1/1 full a
			blocks e runs 1/1 full a; tag:k 1/1 full a
			release a
			> c                           // b and d are in run a still, which takes no slot
			enter f #k ^^a/b
			> f
			release b d f
			enter g #k ^^a/b
			>
			release c
			> e
		`,
		"a claim whose run ends while it waits is a run of its own": `
			limits runs=1 p=1
			enter a runs=1
			enter x p=1 // no run
			> a x
			enter b p=1 ^^a/a
			blocks b pool:p 1/1 full x
			release a
			blocks b pool:p 1/1 full x
			enter c runs=1
			> c
			blocks b pool:p 1/1 full x; runs 1/1 full c
			release x
			blocks b runs 1/1 full c
			release c
			> b
		`,
		"a claim whose run begins while it waits is nested from then on": `
			limits runs=1 p=1
			enter x runs=1
			> x
			enter b p=1 ^^a/a
			enter a runs=1
			blocks b runs 1/1 full x
			release x
			> b
			release b
			> a
			enter b p=1 ^^a/a
			> b
			usage runs 1/1 +0
			aside b                       // and it is no more when its run has ended meanwhile
			release a
			enter c runs=1
			> c
			stand b
			blocks b runs 1/1 full c
			release c
			> b
		`,
		"what a claim is nested in keeps nothing from it": `
			limits p=2
			enter a p=1
			enter x p=1
			> a x
			enter w p=2
			enter b p=1 ^^a/a
			blocks b pool:p 2/2 full a,x
			release x
			> b                           // w waits for a, which waits for b
			enter c p=2 ^^a/b
			impossible asks 2 of pool:p, which its own run keeps from it for ever: a holds 1, b holds 1 of 2; raise the limit or claim it once, outside
			enter d p=2 ^^gone/b
			>
		`,
		"a nested claim takes no run slot and matches no run tag limit": `
			limits runs=1 tag:k=1
			enter a #k
			> a
			enter b p ^a
			> b`,
		"values are forgotten with their last run": `
			limits tag:k=*=1
			enter a #k=v
			> a
			usage tag:k=v 1/1 +0
			release a
			usage tag:k 0/1 +0`,
	})
}

func TestARateAdmitsSoManyInAnyWindow(t *testing.T) {
	cases(t, map[string]string{
		"the window slides": `
			limits a=unlimited@2/10s
			at 1s
			enter v a
			at 4s
			enter w a
			enter x a
			enter y a
			> v w
			blocks x pool:a 2/2 rate
			next 11s
			at 10.999999999s
			>
			at 11s
			> x
			next 14s
			at 14s
			> y
			next none`,
		"releasing does not help": `
			limits a=unlimited@1/10s
			enter x a
			enter y a
			> x
			release x
			>
			usage pool:a 0/-1 +1 *1
			at 10s
			> y`,
		"a rate and a limit both hold": `
			limits a=1@2/10s
			enter x a
			enter y a
			enter z a
			> x
			release x
			> y
			release y
			>
			at 9s
			>
			at 10s
			> z`,
		"weights count": `
			limits a=unlimited@3/10s
			enter x a=2
			enter y a=2
			enter z a
			> x
			blocks z pool:a 2/3 behind y
			at 10s
			> y z`,
		"who stands aside gives its start back": `
			limits a=unlimited@1/10s
			enter x a
			enter y a
			> x
			aside x
			> y
			stand x
			>
			at 10s
			> x`,
		"a lower rate counts the starts before": `
			limits a=unlimited@3/10s
			enter x a
			enter y a
			> x y
			limits a=unlimited@1/10s
			at 9s
			enter z a
			>
			at 10s
			> z`,
		"a limit of 0 pauses a rated pool": `
			limits a=0@3/10s
			enter x a
			>
			next none`,
	})
}

func TestSlotNumbersAreTheLowestThatNobodyHolds(t *testing.T) {
	cases(t, map[string]string{
		"taken and given back": `
			limits a=4
			enter w a
			enter x a=2
			enter y a
			> w x y
			slots w a=0
			slots x a=1,2
			slots y a=3
			release w y
			enter z a=2
			> z
			slots z a=0,3`,
		"below the limit after lowering": `
			limits a=3
			enter x a
			enter y a
			enter z a
			> x y z
			limits a=2
			release x y
			enter w a
			> w
			slots w a=0`,
		"none for an unlimited pool, and others get theirs": `
			limits a=unlimited
			enter x a b
			> x
			slots x b=0
			limits a=2
			enter y a
			> y
			slots y a=0`,
		"none for queue and tags": `
			limits runs=1 tag:k=1
			enter x #k
			> x
			slots x none`,
		"more than a machine word": `
			limits a=200
			enter x a=64
			enter y a=2
			enter z a=130
			> x y z
			slots y a=64,65
			release y
			enter w a=3
			> w
			slots w a=64,65,196`,
		"standing aside gives them back": `
			limits a=2
			enter x a
			enter y a
			> x y
			aside x
			enter z a
			> z
			slots z a=0
			stand x
			>
			slots x none`,
	})
}

func TestWhoStandsAsideKeepsItsPlace(t *testing.T) {
	cases(t, map[string]string{
		"waiting": `
			limits a=0
			enter x a
			enter y a
			aside x
			limits a=1
			> y
			enter z a
			stand x
			release y
			> x`,
		"held": `
			limits a=1
			enter x a
			enter y a
			enter z a
			> x
			aside x
			> y
			stand x
			release y
			> x
			release x
			> z`,
		"aside nobody is blocked by it": `
			limits a=4
			enter x a
			enter big a=4
			enter y a
			> x
			aside big
			> y
			stand big
			enter z a
			>`,
		"bumped while aside": `
			limits a=1
			enter x a
			enter y a
			enter z a
			> x
			aside z
			bump z 9
			stand z
			release x
			> z`,
		"twice is once": `
			limits a=1
			enter x a
			> x
			aside x
			aside x
			usage pool:a 0/1 +0
			stand x
			stand x
			> x`,
	})
}

func TestInTheWayAreTheOldestHoldersThatHaveToGo(t *testing.T) {
	cases(t, map[string]string{
		"oldest first, as many as needed": `
			limits a=3 b=1
			enter x a
			enter y a
			enter z a
			> x y z
			enter w a=2
			way w x y`,
		"one that is in the way of two limits spares another": `
			limits a=2 b=1
			enter x a
			enter y a b
			> x y
			ask w a b
			way w y`,
		"one that holds too little is spared where another has to go": `
			limits a=3
			enter x a
			enter y a=2
			> x y
			ask w a=2
			way w y
			ask v a
			way v x`,
		"its own run is spared": `
			limits a=2
			enter x a
			enter y a
			> x y
			enter w a ^x
			way w y`,
		"nobody where it fits": `
			limits a=2
			enter x a
			> x
			ask w a
			way w`,
		"nobody where a pause is the obstacle": `
			limits a=2 b=1
			enter x a
			enter v b
			> x v
			limits a=0 b=1
			enter w a b
			way w`,
		"the run queue and tags": `
			limits runs=2 tag:k=1
			enter x runs
			enter y #k
			> x y
			ask w #k
			way w y`,
		"waiters that came with replace before, and no others": `
			limits a=1 b=1
			enter x a
			enter y b
			> x y
			enter v a
			enter r1 a replace
			enter r2 a b replace
			enter other b replace
			enter w a replace
			enter r3 a replace
			way w r1 r2 x`,
		"who came with replace and was granted in between": `
			limits a=1
			enter x a
			> x
			enter y a replace
			enter w a replace
			release x
			> y
			way w y`,
		"not who came with replace after it": `
			limits a=1
			enter x a
			> x
			enter w a replace !1
			enter y a replace !9
			way w x
			release x
			> y
			way w`,
		"one with a higher priority, or that stands aside, is stale too": `
			limits a=1
			enter x a
			> x
			enter y a replace !9
			enter z a replace
			aside z
			enter w a replace
			way w y z x`,
		"one that takes what there is room for": `
			limits a=3
			enter x a=2
			> x
			enter y a=2 replace
			enter w a replace
			way w y`,
		"waiters though the limit is paused": `
			limits a=1
			enter x a
			> x
			limits a=0
			enter y a replace
			enter w a replace
			way w y`,
	})
}

func TestReservation(t *testing.T) {
	cases(t, map[string]string{
		"kept from later ones": `
			limits a=2 b=1 reserve=5m
			enter x a=2
			enter h b
			> x h
			enter r a=2 b
			at 5m
			release x
			>
			enter y a
			>
			blocks y pool:a 0/2 reserved r
			release h
			> r`,
		"not yet a moment before": `
			limits a=2 b=1 reserve=5m
			enter h b
			enter r a=2 b
			> h
			at 4m59.999999999s
			enter y a
			> y
			enter v c
			enter w c
			> v
			next 5m
			release y
			at 5m
			enter z a
			>`,
		"kept from newcomers of higher priority, and taken before them": `
			limits a=1 reserve=5m
			enter x a
			enter r a
			> x
			at 5m
			enter y a !9
			release x
			> r
			release r
			> y`,
		"kept from a bigger newcomer of higher priority": `
			limits a=4 reserve=5m
			enter x a=4
			enter h a=4
			enter r a=2
			> x
			release h
			at 5m
			enter big a=4 !9
			release x
			> r
			blocks big pool:a 2/4 full r
			release r
			> big`,
		"a newcomer of higher priority in the way is passed when the reservation begins": `
			limits a=4 reserve=5m
			enter x a=2
			enter r a=2
			enter y a=2 !1
			> x r
			release r
			> y
			enter s a=2
			at 2m
			enter big a=4 !9
			at 3m
			release x
			>
			next 5m
			at 5m
			> s`,
		"what is beyond its need is free for others": `
			limits a=4 b=1 reserve=5m
			enter h b
			enter r a=2 b
			> h
			at 5m
			enter x a
			enter y a
			enter z a
			> x y
			blocks z pool:a 2/4 reserved x,y,r`,
		"one at a time, the first in order": `
			limits a=2 b=1 c=1 reserve=5m
			enter h b
			enter k c
			enter r a=2 b
			enter s a=2 c !1
			> h k
			at 5m
			release h
			>
			blocks r pool:a 0/2 reserved s
			release k
			> s
			release s
			> r`,
		"the next takes it over in the same moment": `
			limits a=3 b=1 reserve=5m
			enter h a=2
			enter r a=2 !2
			enter k b
			enter s a=2 b
			> h k
			at 5m
			enter y a !1
			release h
			> r
			blocks y pool:a 2/3 reserved r,s
			release k
			>
			release r
			> y s`,
		"not by a paused claim": `
			limits a=2 b=0 reserve=5m
			enter r a=2 b
			at 5m
			enter y a
			> y`,
		"not by who stands aside": `
			limits a=2 b=1 reserve=5m
			enter h b
			enter r a=2 b
			> h
			aside r
			at 5m
			enter y a
			> y
			stand r
			enter z a
			>
			blocks z pool:a 1/2 behind y,r
			release y
			>
			blocks z pool:a 0/2 reserved r`,
		"the order decides among those who waited long": `
			limits a=1 reserve=5m
			enter x a
			enter r a
			enter s a !1
			> x
			at 6m
			release x
			> s
			release s
			> r`,
		"longer reserve_after takes it back": `
			limits a=2 b=1 reserve=5m
			enter h b
			enter r a=2 b
			> h
			at 6m
			limits a=2 b=1 reserve=10m
			enter y a
			> y
			next none
			enter z c
			enter w c
			> z
			next 10m`,
		"shorter reserve_after gives it at once": `
			limits a=2 b=1 reserve=10m
			enter h b
			enter r a=2 b
			> h
			at 6m
			limits a=2 b=1 reserve=5m
			enter y a
			>`,
		"the next like it blocks what is left": `
			limits a=3 b=1 reserve=5m
			enter h b
			enter r a=2 b
			enter s a=2 b
			> h
			at 5m
			enter y a
			>
			blocks y pool:a 0/3 behind s
			enter z a !1
			> z`,
		"a rate is kept too": `
			limits a=unlimited@2/10s b=1 reserve=5m
			enter h b
			enter r a=2 b
			> h
			at 5m
			enter y a
			>
			blocks y pool:a 0/2 reserved r
			release h
			> r`,
	})
}

// A run that holds slots ends only when the claims nested in it were granted: they must not wait for one that waits for
// the run.
func TestClaimsThatWouldWaitForEachOtherAreRefused(t *testing.T) {
	cases(t, map[string]string{
		"two runs hold a slot each and ask for one more": `
			limits p=2
			enter a p=1
			enter b p=1
			> a b
			enter c p=1 ^a
			enter d p=1 ^b
			impossible asks 1 of pool:p and would wait for ever, as claims wait for each other: a holds 1 of pool:p and waits, in c, for pool:p, b holds 1 of pool:p and waits, in d, for pool:p; raise the limit or claim all of it once, outside
			release b
			> c
		`,
		"over two pools, crosswise": `
			limits p=1 q=1
			enter a p=1
			enter b q=1
			> a b
			enter c q=1 ^a
			enter x p=1                   // it waits for them, and keeps nothing from them
			enter d p=1 ^b
			impossible asks 1 of pool:p and would wait for ever, as claims wait for each other: a holds 1 of pool:p and waits, in c, for pool:q, b holds 1 of pool:q and waits, in d, for pool:p; raise the limit or claim all of it once, outside
		`,
		"a round of three": `
			limits p=1 q=1 r=1
			enter a p=1
			enter b q=1
			enter e r=1
			> a b e
			enter c q=1 ^a
			enter d r=1 ^b
			impossible <nil>
			enter f p=1 ^e
			impossible asks 1 of pool:p and would wait for ever, as claims wait for each other: a holds 1 of pool:p and waits, in c, for pool:q, b holds 1 of pool:q and waits, in d, for pool:r, e holds 1 of pool:r and waits, in f, for pool:p; raise the limit or claim all of it once, outside
		`,
		"another holder may end": `
			limits p=3
			enter a p=1
			enter b p=1
			enter x p=1
			> a b x
			enter c p=1 ^a
			enter d p=1 ^b
			impossible <nil>
			release x
			> c
		`,
		"a limit is lowered": `
			limits p=4
			enter a p=1
			enter b p=1
			enter x p=2
			> a b x
			enter c p=2 ^a
			enter d p=2 ^b
			impossible <nil>
			limits p=3
			refuse d
			release x b
			> c
		`,
		"a pool that is paused may go on": `
			limits p=2
			enter a p=1
			enter b p=1
			> a b
			limits p=0
			enter c p=1 ^a
			enter d p=1 ^b
			impossible <nil>
		`,
	})
}

func TestANestedClaimDoesNotWaitForWhoWaitsForItsRun(t *testing.T) {
	cases(t, map[string]string{
		"a step passes a reservation of a run that waits in the queue": `
			limits runs=1 db=1 reserve=5m
			enter dag runs
			> dag
			enter r db runs
			at 5m
			enter step db ^dag
			> step
			release step
			enter next db ^dag
			> next
			release next dag
			> r`,
		"a step of another run does not": `
			limits runs=unlimited a=1 db=1 reserve=5m
			enter h a
			enter dag runs
			> h dag
			enter r db a runs
			at 5m
			enter step db ^dag
			>
			blocks step pool:db 0/1 reserved r
			release h
			> r`,
		"not behind a big one that needs what the run holds": `
			limits db=3
			enter outer db
			enter x db
			> outer x
			enter big db=3
			enter inner db ^outer
			> inner
			enter stranger db
			>
			release x
			>
			release inner outer
			> big`,
		"behind another that is ahead": `
			limits db=4 b=1
			enter outer b
			enter x db=2
			> outer x
			enter big db=3 b
			enter other db=4 !1
			enter inner db ^outer
			>
			blocks inner pool:db 2/4 behind x,other
			bump other -1
			> inner`,
		"who waits for one that waits for the run": `
			limits a=1 e=1 y=1 reserve=5m
			enter h a
			> h
			enter b2 a e
			at 5m
			enter b e y
			at 10m
			enter stranger y
			>
			blocks stranger pool:y 0/1 reserved b
			enter c y ^h
			> c
			release c h
			> b2`,
		"who waits for a holder whose own step waits for the run": `
			limits x=1 z=1 y=1 reserve=5m
			enter k x
			enter h z
			> k h
			enter kc z ^k
			enter b x y
			at 5m
			enter c y ^h
			> c
			release c h
			> kc
			release kc k
			> b`,
		"freed by a grant behind it": `
			limits x=2 y=3 e=1 z=1
			enter h x
			enter k e
			enter s z
			enter u y
			> h k s u
			enter b y=3 e
			enter d x z ^k !-1
			enter p y ^h
			>
			enter g x
			> g p`,
		"as soon as the run is in the way no more": `
			limits runs=2 db=2 reserve=5m
			enter d1 runs
			enter d2 runs
			> d1 d2
			enter r db=2 runs
			at 5m
			enter s1 db ^d1
			> s1
			release d2
			enter s2 db ^d1
			>
			blocks s2 pool:db 1/2 behind s1,r
			release s1
			> r`,
		"a run that is found to be held after its step": `
			limits runs=1 db=1 reserve=5m
			enter h db
			enter r db=1 runs
			enter step db ^dag
			> h
			enter dag runs !1
			> dag
			at 6m
			release h
			> step
			release step dag
			> r`,
	})
}

func TestAPausedLimitLetsNobodyInAndIsKept(t *testing.T) {
	cases(t, map[string]string{
		"holders go on, waiters wait, and in order afterwards": `
			limits a=2
			enter x a
			> x
			limits a=2 -pool:a
			enter y a
			enter z a !5
			>
			usage pool:a 1/2 +2
			blocks y pool:a 1/2 paused
			release x
			>
			limits a=2
			> z y
			slots z a=0`,
		"a pool without bound, with a rate, of the default, and of nobody": `
			limits a=unlimited b=unlimited@1/10s default=3 -pool:a -pool:b -pool:c
			enter x a
			enter y b
			enter z c
			>
			blocks x pool:a 0/- paused
			blocks y pool:b 0/- paused
			limits -pool:d
			> x y z
			enter w d
			>
			blocks w pool:d 0/1 paused`,
		"the run queue, and not what is nested in a run": `
			limits -runs
			enter x a
			> x
			enter r runs
			>
			blocks r runs 0/- paused
			limits runs=unlimited
			> r
			limits -runs
			enter s runs ^^r/r
			> s`,
		"what it needs besides goes to others, though it has waited long": `
			limits a=1 b=1 reserve=5m -pool:a
			enter x a b
			at 6m
			enter y b
			> y`,
		"a claim for more than the limit that is kept is impossible, one that fits is not": `
			limits a=2 -pool:a
			enter x a=3
			impossible asks 3 of pool:a, whose limit is 2; ask for less or raise the limit
			enter y a=2
			impossible <nil>
			refuse
			>`,
		"a pause closes no circle, and hides none": `
			limits p=2 q=1
			enter a p=1
			enter b p=1
			> a b
			limits p=2 q=1 -pool:p -pool:q
			enter c q=1 ^a
			enter d q=1 ^b
			impossible <nil>
			enter e p=1 ^a
			impossible <nil>
			enter f p=1 ^b
			impossible asks 1 of pool:p and would wait for ever, as claims wait for each other: a holds 1 of pool:p and waits, in e, for pool:p, b holds 1 of pool:p and waits, in f, for pool:p; raise the limit or claim all of it once, outside
			limits p=3 q=1
			> c e
			release c
			> d`,
		"no holder is in the way, but who came with replace and waits is": `
			limits a=2 -pool:a
			enter x a replace
			ask w a replace
			way w x`,
	})
}

func TestStrictSettingsRefuseAPoolThatNobodyDeclared(t *testing.T) {
	cases(t, map[string]string{
		"in the order of the names, the default not being a declaration": `
			limits strict default=5 warehouse=1
			enter x warehouse
			> x
			enter y wharehouse warehouse
			impossible asks for pool "wharehouse", which has no limit of its own, and concurrency.pools.strict refuses that; 'limit pool set wharehouse N' gives it one
			enter z runs
			> z`,
		"who waits when settings become strict": `
			limits a=1
			enter x a
			enter h b
			enter y b
			> x h
			limits strict a=1
			refuse y`,
	})
}
