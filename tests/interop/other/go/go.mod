module midge.test/other

go 1.22
