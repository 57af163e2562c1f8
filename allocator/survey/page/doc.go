// Package page shows a survey.Cluster in a browser as it changes: one document that needs
// nothing else, and a stream of server-sent events with the pieces of it that are new.
//
// The pieces are HTML and SVG that are made here, so the browser only puts them in their
// places, sorts, folds and searches.
package page
