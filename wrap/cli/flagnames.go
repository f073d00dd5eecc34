package cli

import "github.com/urfave/cli/v2"

// The library works out the names of a flag with a regular expression each time that it asks for them, which is
// hundreds of times in a call: a quarter of a millisecond, of the five that limit run takes. These are its flags with
// their names as they stand.
type (
	boolFlag   struct{ *cli.BoolFlag }
	stringFlag struct{ *cli.StringFlag }
	listFlag   struct{ *cli.StringSliceFlag }
	otherFlag  struct{ *cli.GenericFlag }
)

func (f boolFlag) Names() []string   { return namesOf(f.Name, f.Aliases) }
func (f stringFlag) Names() []string { return namesOf(f.Name, f.Aliases) }
func (f listFlag) Names() []string   { return namesOf(f.Name, f.Aliases) }
func (f otherFlag) Names() []string  { return namesOf(f.Name, f.Aliases) }

func namesOf(name string, aliases []string) []string { return append([]string{name}, aliases...) }

// named returns flags of the library as such. They are hidden from its own help, which is not used here and would be
// put into words at every start.
func named(flags []cli.Flag) []cli.Flag {
	for i, f := range flags {
		switch f := f.(type) {
		case *cli.BoolFlag:
			f.Hidden, flags[i] = true, boolFlag{f}
		case *cli.StringFlag:
			f.Hidden, flags[i] = true, stringFlag{f}
		case *cli.StringSliceFlag:
			f.Hidden, f.KeepSpace, flags[i] = true, true, listFlag{f} // what is a blank is for the grammar to say
		case *cli.GenericFlag:
			f.Hidden, flags[i] = true, otherFlag{f}
		}
	}
	return flags
}
