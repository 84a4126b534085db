package origin

import (
	"slices"
	"strings"
)

// Under a public suffix anybody can have a site, so a wildcard over one trusts
// everybody. The table here is not the whole Public Suffix List
// (publicsuffix.org), which is about ten thousand rules, changes every week, and
// would be a dependency. It has what people do write by mistake: top-level domains,
// second levels of registries such as those of .uk and .jp, and the best-known
// hosts of other people's sites, of which some (wordpress.com) are not on the List.
// It lacks towns and states under jp, no, it, us and others, most dynamic DNS, and
// small hosts. Whom it refuses wrongly can list sites one by one; what it lacks
// passes as any domain does, so where the two differ in cost it refuses.

// secondLevels are refused under every two-letter top-level domain, that is every
// country. Where the registry sells such a name as any other it is often resold
// as a suffix (com.de).
var secondLevels = strings.Fields("ac co com edu gob gouv gov mil net org")

// suffixes are public suffixes as they are; "*.x" stands for every name directly
// below x, such as a region, and ".x" for x and all names below it.
const suffixes = `
	gv.at or.at asn.au id.au adv.br art.br blog.br dev.br eco.br ind.br inf.br tur.br tv.br asso.fr nom.fr tm.fr
	nom.es idv.hk biz.id desa.id go.id my.id or.id sch.id web.id idf.il k12.il muni.il firm.in gen.in ind.in nic.in
	res.in ad.jp ed.jp go.jp gr.jp lg.jp ne.jp or.jp go.ke me.ke ne.ke or.ke sc.ke go.kr ne.kr or.kr pe.kr re.kr
	geek.nz gen.nz govt.nz iwi.nz kiwi.nz maori.nz school.nz ngo.ph nome.pt publ.pt info.ro nom.ro msk.ru spb.ru
	go.th in.th mi.th or.th biz.tr gen.tr k12.tr name.tr web.tr club.tw game.tw idv.tw go.tz ne.tz or.tz sc.tz
	go.ug ne.ug or.ug sc.ug ltd.uk me.uk nhs.uk plc.uk police.uk *.sch.uk biz.vn info.vn name.vn pro.vn
	law.za nom.za web.za *.bd *.ck *.er *.fk *.jm *.kh *.mm *.np *.pg
	ae.org africa.com br.com cn.com co.com de.com eu.com eu.org gb.net gr.com hk.com hu.net in.net it.com jp.net
	jpn.com js.org mex.com ru.com sa.com se.net uk.com uk.net us.com us.org za.com za.net za.org is-a.dev

	github.io githubusercontent.com githubpreview.dev app.github.dev gitlab.io bitbucket.io codeberg.page
	srht.site readthedocs.io readthedocs-hosted.com
	.amazonaws.com .amazonaws.com.cn .awsapps.com *.awsapprunner.com .elasticbeanstalk.com .on.aws amplifyapp.com
	cloudfront.net appspot.com *.r.appspot.com blogspot.com cloudfunctions.net firebaseapp.com googleapis.com
	googleusercontent.com *.hosted.app *.run.app translate.goog *.usercontent.goog web.app
	azure-api.net *.azurecontainer.io *.azurecontainerapps.io azureedge.net .azurefd.net .azurestaticapps.net
	.azurewebsites.net *.cloudapp.azure.com cloudapp.net .core.windows.net trafficmanager.net
	pages.dev r2.dev workers.dev *.digitaloceanspaces.com ondigitalocean.app *.linodeobjects.com
	ip.linodeusercontent.com *.oraclecloudapps.com *.vultrobjects.com b-cdn.net edgecompute.app
	global.ssl.fastly.net kxcdn.com

	deno.dev deno.net fly.dev glitch.me hf.space static.hf.space herokuapp.com koyeb.app lovable.app
	lovableproject.com netlify.app now.sh onrender.com *.platform.sh pythonanywhere.com eu.pythonanywhere.com
	up.railway.app repl.co id.repl.co repl.run replit.app id.replit.app *.replit.dev streamlit.app supabase.co
	surge.sh val.run web.val.run vercel.app vercel.dev vusercontent.net zeabur.app csb.app preview.csb.app
	*.gitpod.io stackblitz.io .webcontainer.io

	bubbleapps.io canva.site *.my.canva.site carrd.co figma.site framer.ai framer.app framer.website ghost.io
	hatenablog.com hubspotpagebuilder.com livejournal.com myshopify.com notion.site pantheonsite.io
	altervista.org neocities.org square.site squarespace.com strapiapp.com substack.com tumblr.com webflow.io
	weebly.com wixsite.com wixstudio.com wixstudio.io wordpress.com wpengine.com wpenginepowered.com

	*.devtunnels.ms lhr.life loca.lt localhost.run localtunnel.me ngrok.app ngrok.dev ngrok-free.app ngrok-free.dev
	ngrok.io ap.ngrok.io au.ngrok.io eu.ngrok.io in.ngrok.io jp.ngrok.io sa.ngrok.io us.ngrok.io serveo.net
	telebit.io trycloudflare.com ts.net ddns.net duckdns.org dyndns.org dynu.net hopto.org myqnapcloud.com
	nip.io no-ip.org sslip.io synology.me`

// isPublicSuffix says whether a wildcard over host takes in the sites of strangers,
// because host is a public suffix or one of suffixes lies below it.
func isPublicSuffix(host string) bool {
	first, rest, ok := strings.Cut(host, ".")
	if !ok {
		return host != "localhost" // never leaves the machine (RFC 6761 §6.3)
	}
	if len(rest) == 2 && slices.Contains(secondLevels, first) {
		return true
	}
	for s := range strings.FieldsSeq(suffixes) {
		switch {
		case s == host, strings.HasSuffix(s, "."+host), s[0] == '.' && strings.HasSuffix(host, s), s[0] == '*' && rest == s[2:]:
			return true
		}
	}
	return false
}
