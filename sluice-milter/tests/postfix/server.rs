//! A Postfix of its own: configuration, queue and data in a folder of the test, on loopback.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::wait;

/// `nobody` on Debian.
const NOBODY: u32 = 65534;

const MAIN: &str = r"
compatibility_level = 3.6
queue_directory = @/spool
data_directory = @/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.b.test
mydestination =
alias_maps =
mynetworks = 127.0.0.0/8
maillog_file = @/maillog
maillog_file_prefixes = @
smtpd_peername_lookup = no
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 10000
smtpd_hard_error_limit = 10000
smtpd_relay_restrictions = reject_unauth_destination
smtpd_authorized_xclient_hosts = 127.0.0.1
virtual_mailbox_domains = b.test
virtual_mailbox_maps = static:all/
virtual_mailbox_base = @/mail
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_transport = virtual
local_transport = error:none
smtpd_milters = unix:@/milter.sock
milter_default_action = tempfail
";

const MASTER: &str = "\
127.0.0.1:PORT inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
showq unix n - n - - showq
postlog unix-dgram n - n - 1 postlogd
";

pub(crate) struct Postfix {
    folder: PathBuf,
    port: u16,
}

impl Postfix {
    /// Starts in `folder`, with the milter that listens there.
    pub(crate) fn start(folder: &Path) -> Self {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        for name in ["conf", "spool", "data", "mail"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        let id = Command::new("id").args(["-u", "postfix"]).output().unwrap();
        let user = String::from_utf8(id.stdout).unwrap().trim().parse().expect("./test installs Postfix");
        chown(folder.join("data"), Some(user), None).unwrap();
        chown(folder.join("mail"), Some(NOBODY), Some(NOBODY)).unwrap();
        let here = folder.to_str().unwrap();
        fs::write(folder.join("conf/main.cf"), MAIN.replace('@', here)).unwrap();
        fs::write(folder.join("conf/master.cf"), MASTER.replace("PORT", &port.to_string())).unwrap();
        let postfix = Self { folder: folder.to_owned(), port };
        postfix.postfix("start");
        wait("Postfix listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        postfix
    }

    fn postfix(&self, what: &str) {
        let out =
            Command::new("/usr/sbin/postfix").arg("-c").arg(self.folder.join("conf")).arg(what).output();
        let out = out.expect("./test installs Postfix");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success(), "postfix {what}: {said}");
    }

    /// A client that said EHLO.
    pub(crate) fn client(&self) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut client = Client { stream: BufReader::new(stream) };
        assert!(client.reply().starts_with("220"));
        client.say("EHLO mail.a.test");
        client
    }

    /// What `mailq` shows: it is this program.
    pub(crate) fn mailq(&self) -> String {
        let mut mailq = Command::new("/usr/sbin/postqueue");
        let out = mailq.arg("-c").arg(self.folder.join("conf")).arg("-p").output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    }

    /// Waits for the message with this subject to be delivered, and gives the file.
    pub(crate) fn delivered(&self, subject: &str) -> String {
        let log = || fs::read_to_string(self.folder.join("maillog")).unwrap_or_default();
        wait(&format!("`{subject}` is delivered: {}", log()), || {
            self.all_delivered()
                .into_iter()
                .find(|message| message.contains(&format!("\nSubject: {subject}\n")))
        })
    }

    pub(crate) fn all_delivered(&self) -> Vec<String> {
        let Ok(files) = fs::read_dir(self.folder.join("mail/all/new")) else { return Vec::new() };
        files.flatten().filter_map(|file| fs::read_to_string(file.path()).ok()).collect()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let conf = self.folder.join("conf");
        let _ = Command::new("/usr/sbin/postfix").arg("-c").arg(conf).arg("stop").output();
    }
}

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let mut line = String::new();
            assert!(self.stream.read_line(&mut line).unwrap() > 0, "it closed: {reply}");
            let is_last = line.as_bytes().get(3) == Some(&b' ');
            reply.push_str(&line);
            if is_last {
                return reply.trim_end().to_owned();
            }
        }
    }

    pub(crate) fn say(&mut self, line: &str) -> String {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
        self.reply()
    }

    /// A transaction with a message of whole lines; gives the reply to its end.
    pub(crate) fn send(&mut self, recipients: &[&str], message: &str) -> String {
        assert!(self.say("MAIL FROM:<ann@a.test>").starts_with("250"));
        for recipient in recipients {
            let reply = self.say(&format!("RCPT TO:<{recipient}>"));
            assert!(reply.starts_with("250"), "{reply}");
        }
        assert!(self.say("DATA").starts_with("354"));
        self.say(&format!("{message}."))
    }
}
