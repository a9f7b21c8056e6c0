package main

const description = `A reverse proxy for TCP and HTTP.

Exit codes: 0 it worked, or it stopped as it was told to; 1 it failed or was refused, standard error says why;
2 the command line is wrong.`

// cli is the command line. Help texts are what docs/cli.md says.
type cli struct {
	Run      runCmd      `cmd:"" help:"Run with a configuration file, in the foreground."`
	Demo     demoCmd     `cmd:"" help:"Try it out: embedded backends, L4, L7 and admin, nothing to configure."`
	Proxy    proxyCmd    `cmd:"" help:"Run one listener in front of servers, without a file."`
	Check    checkCmd    `cmd:"" help:"Check a configuration file and say all that is wrong with it."`
	Explain  explainCmd  `cmd:"" help:"Say what a configuration file makes of a request, and why."`
	Reload   reloadCmd   `cmd:"" help:"Make a running Weir read its file again."`
	Sessions sessionsCmd `cmd:"" help:"List the live sessions and tunnels of a running Weir, or close some."`
	Cache    cacheCmd    `cmd:"" help:"Show what a running Weir has stored, or drop some of it."`
	Bench    benchCmd    `cmd:"" help:"Measure: generate load, or serve it."`
	Docs     docsCmd     `cmd:"" help:"Print a page of the reference."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

// Detailed help, shown by `weir COMMAND --help` and in docs/cli.md.

func (runCmd) Help() string {
	return `All listeners are bound before the first connection is accepted; otherwise Weir says why and exits.

Signals: SIGTERM drains for at most process.drain_timeout; SIGINT stops at once; SIGHUP reloads the file;
SIGUSR1 reopens the access log.`
}

func (demoCmd) Help() string {
	return `Starts three HTTP backends, one of them slow and one that fails now and then, a TCP and a TLS service, and
Weir in front of them, all on 127.0.0.1. It prints commands to try. Ports that are taken are replaced.`
}

func (proxyCmd) Help() string {
	return `Examples:

    weir proxy --http :8080 --to 127.0.0.1:3000
    weir proxy --tcp :6380 --to 10.0.0.1:6379,10.0.0.2:6379

The signals are those of weir run, but SIGHUP, as from a terminal that is closed, is a SIGTERM.`
}

func (checkCmd) Help() string {
	return `Every problem is shown with its line, and certificates are compared with their keys. Nothing is bound.`
}

func (explainCmd) Help() string {
	return `Nothing is bound, resolved or connected to; the code is that of the running proxy. Routes are shown in their
order for the request: the first that matches is taken. Which servers are healthy is not known. Examples:

    weir explain -c weir.toml https://www.example.com/api/users
    weir explain -c weir.toml 'POST http://www.example.com/' -H 'X-Version: 2' --from 10.0.0.7

The listener is the one that has the URL's port; a URL without a port also means the only one that fits its scheme.
With https the URL's host is the name in the TLS hello, and -H 'Host: other' asks for another host over it.
The exit code is 0 whatever becomes of the request.`
}

func (sessionsListCmd) Help() string {
	return `Sessions are the connections that an [[l4]] passes through. WebSockets and CONNECT tunnels of an
[[l7]] are listed with them; its other connections are not.
The process is found as weir reload finds it.`
}

func (sessionsCloseCmd) Help() string {
	return `Both connections of a session are reset. Examples:

    weir sessions close -c weir.toml 4711
    weir sessions close -c weir.toml --backend 10.0.0.1:5432`
}

func (cachePurgeCmd) Help() string {
	return `What is dropped is not served from then on, in any of its variants. The process is found as weir
reload finds it. Examples:

    weir cache purge -c weir.toml https://www.example.com/ https://www.example.com/news
    weir cache purge -c weir.toml --prefix https://www.example.com/images/
    weir cache purge -c weir.toml --tag product-7 --soft`
}

func (reloadCmd) Help() string {
	return `The process is found by the admin address of the file, or by the socket that belongs to the file. A refused
reload changes nothing in the running process; what is wrong is printed and the exit code is 1.`
}
