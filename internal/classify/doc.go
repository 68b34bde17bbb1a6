// Package classify says in one word why a delivery failed.
//
// The words are those of All; class.go says what a sender or an operator does about each.
// One comes from the reply alone, which is asked in this order:
//
//  1. data/words.txt: what clear words say ("over quota"). They outweigh any code,
//     because senders of replies choose their words with more care than their codes:
//     5.7.1 stands before all there is.
//  2. data/codes.txt, the codes that say one thing only (4.2.2, 5.1.1).
//  3. data/hints.txt: what words suggest that leave some doubt ("rejected").
//  4. data/codes.txt, the codes that say little (5.7.1, 554); a basic code that says
//     one thing only (535) comes before 5.7.1.
//
// What none of them knows is Other. For a finding of our own it is the other way
// round: our codes are exact, and words decide only where one code serves for several
// things.
//
// Package explain tells people what a reply means and what to do; it does not decide
// the class but asks here, so that an event, a metric, the list of the queue and an
// explanation never disagree. Its collection of replies is a part of the tests here.
package classify
