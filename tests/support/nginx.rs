//! A real nginx in front of a service, under a path that it takes off.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;

use super::{port::Port, programs::need, wait::wait_until};

/// Stopped with the test.
pub(crate) struct Nginx {
    child: Child,
    dir: PathBuf,
    /// Reserved until nginx has ended.
    _port: Port,
    /// Where it answers, with the path and without a slash at its end.
    pub(crate) url: String,
}

impl Nginx {
    /// Passes what is asked for under `path` on to `service`, as `docs/operations.md` writes it.
    pub(crate) async fn before(service: &str, path: &str, port: Port) -> Self {
        need("command -v nginx || [ -x /usr/sbin/nginx ]");
        let dir = std::env::temp_dir().join(format!("brune-nginx-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&dir).unwrap();
        let at = dir.display();
        let address = port.address();
        let config = format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/log;
            events {{ worker_connections 256; }}
            http {{
              access_log off; client_body_temp_path {at}; proxy_temp_path {at}; fastcgi_temp_path {at};
              uwsgi_temp_path {at}; scgi_temp_path {at};
              server {{
                listen {address};
                location {path}/ {{
                  proxy_pass http://{service}/;
                  proxy_http_version 1.1;
                  proxy_set_header Host $http_host;
                  proxy_set_header Connection \"\";
                }}
              }}
            }}"
        );
        fs::write(dir.join("conf"), config).unwrap();
        let mut command = Command::new("nginx");
        command.env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin");
        command.arg("-p").arg(&dir).arg("-c").arg(dir.join("conf")).stdin(Stdio::null());
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        let it = Self { child, dir, _port: port, url: format!("http://{address}{path}") };
        wait_until("nginx answers", async || TcpStream::connect(&address).await.is_ok()).await;
        it
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}
