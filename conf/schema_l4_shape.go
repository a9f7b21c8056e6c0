package conf

// maxRate is the highest rate of bytes per second: beyond every network.
const maxRate = Size(1) << 40

// l4ShapeKeys bound how fast bytes pass.
func l4ShapeKeys() []key[L4] {
	rate := func(name string, of func(*L4) *Size, doc string) key[L4] {
		return key[L4]{name: name, def: `"0B"`, unit: "per second", value: one(of, size(0, maxRate)), doc: doc}
	}
	return []key[L4]{
		rate("download_rate", func(l *L4) *Size { return &l.DownloadRate },
			"How fast one session may get bytes from its server to its client. A session that was quiet may "+
				"get a fifth of a second's worth at once. 0B: no limit."),
		rate("upload_rate", func(l *L4) *Size { return &l.UploadRate },
			"The same from the client to the server. 0B: no limit."),
		rate("listener_download_rate", func(l *L4) *Size { return &l.ListenerDownloadRate },
			"How fast all sessions of this listener together may get bytes to their clients; those that want "+
				"more than there is get equal shares. 0B: no limit."),
		rate("listener_upload_rate", func(l *L4) *Size { return &l.ListenerUploadRate },
			"The same from clients to servers. 0B: no limit. A reload changes the rates of the "+
				"listener at once, those of a session for new ones; a session that began without any has none."),
	}
}
