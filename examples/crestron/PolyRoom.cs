// A Poly VideoOS room through a poly2mqtt gateway, over plain lines on TCP. How to use it:
// docs/crestron.md. One file, C# 5 and the .NET Framework 4.7.2 alone: 4-Series, VC-4, any PC.

using System;
using System.Globalization;
using System.IO;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Threading;

namespace Poly2Mqtt
{
    /// <summary>Why a command failed.</summary>
    public sealed class CommandFailedEventArgs : EventArgs
    {
        internal CommandFailedEventArgs(string command, string code, string message)
        {
            Command = command;
            Code = code;
            Message = message;
        }

        public string Command { get; private set; }
        public string Code { get; private set; }
        public string Message { get; private set; }
    }

    /// <summary>A meeting of the room's calendar.</summary>
    public sealed class Meeting
    {
        internal Meeting(string json)
        {
            Subject = Json.Text(json, "subject");
            Organizer = Json.Text(json, "organizer");
            Location = Json.Text(json, "location");
            CanJoin = Json.Raw(json, "canDial") == "true";
            double start;
            if (double.TryParse(Json.Raw(json, "startTime"), NumberStyles.Float, CultureInfo.InvariantCulture, out start))
            {
                // Some firmware has milliseconds.
                if (start > 100000000000) start /= 1000;
                Start = new DateTime(1970, 1, 1, 0, 0, 0, DateTimeKind.Utc).AddSeconds(start).ToLocalTime();
            }
        }

        public string Subject { get; private set; }
        public string Organizer { get; private set; }
        public string Location { get; private set; }
        /// <summary>In local time; null if the codec does not tell it.</summary>
        public DateTime? Start { get; private set; }
        /// <summary>The codec can dial into it.</summary>
        public bool CanJoin { get; private set; }
    }

    // Members of the JSON objects that the gateway sends, which have no blanks.
    internal static class Json
    {
        // A text without its escapes; empty if there is none.
        public static string Text(string json, string name)
        {
            var begin = json.IndexOf("\"" + name + "\":\"", StringComparison.Ordinal);
            return begin < 0 ? "" : Unescaped(json, begin + name.Length + 4);
        }

        // A number, true or false as it is written; empty if there is none.
        public static string Raw(string json, string name)
        {
            var begin = json.IndexOf("\"" + name + "\":", StringComparison.Ordinal);
            if (begin < 0) return "";
            begin += name.Length + 3;
            var end = json.IndexOfAny(new[] { ',', '}', ']' }, begin);
            return end < 0 ? "" : json.Substring(begin, end - begin).Trim('"');
        }

        private static string Unescaped(string json, int at)
        {
            var text = new StringBuilder();
            for (; at < json.Length && json[at] != '"'; at++)
            {
                int code;
                if (json[at] != '\\' || at + 1 >= json.Length)
                {
                    text.Append(json[at]);
                    continue;
                }
                at++;
                switch (json[at])
                {
                    case 'n': case 'r': case 't': case 'b': case 'f': text.Append(' '); break;
                    case 'u':
                        if (at + 4 < json.Length && int.TryParse(json.Substring(at + 1, 4), NumberStyles.HexNumber,
                            CultureInfo.InvariantCulture, out code))
                        {
                            text.Append((char)code);
                            at += 4;
                        }
                        break;
                    default: text.Append(json[at]); break;
                }
            }
            return text.ToString();
        }
    }

    /// <summary>
    /// One room. Connects by itself, and again whenever the connection is lost. Properties say what
    /// the codec said; while Online is false they are stale. Events come from threads of the room's
    /// own, and a handler that throws is not forgiven.
    /// </summary>
    public sealed class PolyRoom : IDisposable
    {
        private const int Silence = 10000, FirstWait = 1000, LongestWait = 30000, LongestLine = 1 << 20;

        // What is subscribed to.
        private static readonly string[] States =
        {
            "availability", "problem", "audio/muted", "audio/volume", "video/muted", "camera/presets/names",
            "call/state", "call/in_meeting", "calendar/current", "calendar/next", "readiness"
        };

        private readonly string host, token, prefix;
        private readonly int port;
        private readonly object gate = new object();
        private readonly ManualResetEvent ended = new ManualResetEvent(false);
        private Socket socket;
        private Stream stream;
        private bool started;
        // Whether all states were told, whether one of them is of the room, and what they say of it.
        private volatile bool linked, known, available;
        private volatile bool heard;
        private volatile string trouble = "connecting", farewell, problem = "", presetNames = "";

        public PolyRoom(string host, int port, string room, string token)
        {
            this.host = host;
            this.port = port;
            this.token = token;
            prefix = "room/" + room + "/";
            CallState = Readiness = "";
        }

        /// <summary>
        /// Talks TLS: the gateway has tls = true under [tcp]. Without it whoever listens in the network can read the
        /// token.
        /// </summary>
        public bool Encrypted { get; set; }
        /// <summary>
        /// With Encrypted: the only certificate to take, by its SHA-256 in hexadecimal, colons or not. Empty: one
        /// that this machine trusts, for the name of the gateway.
        /// </summary>
        public string Certificate { get; set; }

        /// <summary>A property is another than it was.</summary>
        public event EventHandler Changed;

        /// <summary>A command of this room failed.</summary>
        public event EventHandler<CommandFailedEventArgs> CommandFailed;

        /// <summary>Gateway and codec are there.</summary>
        public bool Online { get { return linked && available; } }

        /// <summary>online, offline or not connected, for a person.</summary>
        public string Availability
        {
            get { return !linked ? "not connected" : available ? "online" : "offline"; }
        }

        /// <summary>What is wrong, for a person; empty for nothing.</summary>
        public string Problem
        {
            get
            {
                if (!linked) return trouble;
                if (!known) return "the gateway shows no such room to this token";
                return problem != "" || available ? problem : "offline";
            }
        }

        public bool Muted { get; private set; }
        public bool VideoMuted { get; private set; }
        /// <summary>0 to 100.</summary>
        public int Volume { get; private set; }
        /// <summary>idle, dialing, ringing, connected or held; empty while unknown.</summary>
        public string CallState { get; private set; }
        /// <summary>A call is up, or an app such as Teams or Zoom is in a meeting.</summary>
        public bool InMeeting { get; private set; }
        /// <summary>The meeting of now; null for none.</summary>
        public Meeting CurrentMeeting { get; private set; }
        /// <summary>The meeting that begins next; null for none.</summary>
        public Meeting NextMeeting { get; private set; }
        /// <summary>The newest check of the room found nothing wrong.</summary>
        public bool Ready { get; private set; }
        /// <summary>What it found wrong, for a person; empty for nothing, and before the first check.</summary>
        public string Readiness { get; private set; }

        /// <summary>The name of camera preset 1 to 10; empty if it has none.</summary>
        public string PresetName(int preset)
        {
            return Json.Text(presetNames, preset.ToString(CultureInfo.InvariantCulture));
        }

        /// <summary>Begins to connect.</summary>
        public void Start()
        {
            if (started) return;
            started = true;
            var thread = new Thread(Run) { IsBackground = true, Name = "poly2mqtt " + prefix };
            thread.Start();
        }

        public void Dispose()
        {
            ended.Set();
            Drop();
        }

        public void SetMute(bool on) { Command("audio/muted/set", on ? "true" : "false"); }
        public void ToggleMute() { Command("audio/muted/set", "toggle"); }
        public void SetVideoMute(bool on) { Command("video/muted/set", on ? "true" : "false"); }
        public void SetVolume(int volume)
        {
            Command("audio/volume/set", volume.ToString(CultureInfo.InvariantCulture));
        }
        /// <summary>Recalls camera preset 1 to 10.</summary>
        public void ActivatePreset(int preset) { Command("camera/preset/" + preset + "/activate", ""); }
        /// <summary>Recalls a camera preset by its name in the gateway's configuration.</summary>
        public void ActivatePreset(string name)
        {
            Command("camera/preset/" + Uri.EscapeDataString(name) + "/activate", "");
        }
        public void StorePreset(int preset) { Command("camera/preset/" + preset + "/store", ""); }
        /// <summary>Moves until StopCamera: up, down, left, right, zoom_in or zoom_out.</summary>
        public void MoveCamera(string direction) { Command("camera/move", direction); }
        public void StopCamera() { Command("camera/stop", ""); }
        public void Dial(string address) { Command("call/dial", address); }
        public void Answer() { Command("call/answer", ""); }
        public void Reject() { Command("call/reject", ""); }
        public void HangUp() { Command("call/hangup", ""); }
        public void JoinCurrentMeeting() { Command("calendar/current/dial", ""); }
        /// <summary>Checks the room, which may take minutes. Readiness tells what was found.</summary>
        public void CheckRoom() { Command("readiness/run", ""); }
        public void JoinNextMeeting() { Command("calendar/next/dial", ""); }

        /// <summary>Any command of the gateway, with its payload or an empty one.</summary>
        public void Command(string command, string payload)
        {
            if (!linked || !Send(prefix + command + " " + payload))
            {
                Fail(command, "offline", "the gateway is not connected: " + Problem);
            }
        }

        private void Run()
        {
            var wait = FirstWait;
            do
            {
                farewell = null;
                var why = "the gateway has closed the connection";
                try
                {
                    Talk();
                }
                catch (SocketException error)
                {
                    why = "the gateway cannot be reached: " + error.Message;
                }
                catch (AuthenticationException error)
                {
                    why = "the gateway's certificate is not trusted: " + error.Message;
                }
                catch (IOException error)
                {
                    why = "the connection to the gateway broke: " + error.Message;
                }
                catch (AggregateException error)
                {
                    // Mono's TLS wraps what happened.
                    why = "the connection to the gateway broke: " + error.GetBaseException().Message;
                }
                catch (ObjectDisposedException)
                {
                    // Given up by Watch, or by Dispose.
                }
                if (linked) wait = FirstWait;
                linked = false;
                trouble = farewell ?? why;
                Drop();
                Tell();
                if (ended.WaitOne(wait)) return;
                wait = Math.Min(wait * 2, LongestWait);
            }
            while (true);
        }

        // One connection, until it ends.
        private void Talk()
        {
            known = available = false;
            problem = presetNames = Readiness = "";
            Ready = InMeeting = false;
            CurrentMeeting = NextMeeting = null;
            var mine = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, SendTimeout = 5000 };
            lock (gate) socket = mine;
            if (ended.WaitOne(0)) return;
            var connecting = mine.BeginConnect(host, port, null, null);
            if (!connecting.AsyncWaitHandle.WaitOne(Silence))
            {
                throw new SocketException((int)SocketError.TimedOut);
            }
            mine.EndConnect(connecting);
            heard = true;
            using (new Timer(Watch, null, Silence, Silence)) Speak(new NetworkStream(mine));
        }

        private void Speak(Stream opened)
        {
            if (Encrypted)
            {
                var secure = new SslStream(opened, false, IsTrusted);
                secure.AuthenticateAsClient(host, null, SslProtocols.Tls12, false);
                opened = secure;
            }
            lock (gate) stream = opened;
            if (!string.IsNullOrEmpty(token)) Send("token " + token);
            Send("subscribe " + prefix + string.Join(" " + prefix, States));
            // Answered after the states, so that whoever has the answer has them all.
            Send("ping");
            Listen(opened);
        }

        private bool IsTrusted(object sender, X509Certificate shown, X509Chain chain, SslPolicyErrors errors)
        {
            if (string.IsNullOrEmpty(Certificate)) return errors == SslPolicyErrors.None;
            using (var sha256 = SHA256.Create())
            {
                var print = BitConverter.ToString(sha256.ComputeHash(shown.GetRawCertData())).Replace("-", "");
                var wanted = Certificate.Replace("sha256:", "").Replace(":", "").Trim();
                return string.Equals(print, wanted, StringComparison.OrdinalIgnoreCase);
            }
        }

        private void Listen(Stream mine)
        {
            var bytes = new byte[4096];
            var line = new MemoryStream();
            int count;
            while ((count = mine.Read(bytes, 0, bytes.Length)) > 0)
            {
                heard = true;
                for (var n = 0; n < count; n++)
                {
                    if (bytes[n] != '\n')
                    {
                        if (line.Length < LongestLine) line.WriteByte(bytes[n]);
                        continue;
                    }
                    Take(Encoding.UTF8.GetString(line.ToArray()).TrimEnd('\r'));
                    line.SetLength(0);
                }
            }
        }

        // Finds a connection that died without a word.
        private void Watch(object nothing)
        {
            if (!heard)
            {
                farewell = "the gateway does not answer";
                Drop();
            }
            heard = false;
            Send("ping");
        }

        private void Take(string line)
        {
            if (line == "pong" && !linked)
            {
                linked = true;
                Tell();
            }
            if (line.StartsWith("closed ", StringComparison.Ordinal))
            {
                farewell = line.Substring("closed ".Length);
            }
            if (!line.StartsWith(prefix, StringComparison.Ordinal)) return;
            var space = (line + " ").IndexOf(' ');
            var topic = line.Substring(prefix.Length, space - prefix.Length);
            var value = line.Substring(Math.Min(space + 1, line.Length));
            if (topic.EndsWith("/result", StringComparison.Ordinal))
            {
                Result(topic.Substring(0, topic.Length - "/result".Length), value);
            }
            else
            {
                State(topic, value);
            }
        }

        private void Result(string command, string value)
        {
            var parts = value.Split(new[] { ' ' }, 3);
            // What a newer command has made pointless is no failure.
            if (parts[0] != "error" || parts.Length < 3 || parts[1] == "superseded") return;
            Fail(command, parts[1], parts[2]);
        }

        private void State(string topic, string value)
        {
            int volume;
            switch (topic)
            {
                case "availability":
                    known = true;
                    available = value == "online";
                    break;
                case "problem":
                    problem = Json.Text(value, "code") == "none" ? "" : Json.Text(value, "message");
                    break;
                case "audio/muted": Muted = value == "true"; break;
                case "video/muted": VideoMuted = value == "true"; break;
                case "audio/volume": if (int.TryParse(value, out volume)) Volume = volume; break;
                case "camera/presets/names": presetNames = value; break;
                case "call/state": CallState = value; break;
                case "call/in_meeting": InMeeting = value == "true"; break;
                case "calendar/current": CurrentMeeting = MeetingOf(value); break;
                case "calendar/next": NextMeeting = MeetingOf(value); break;
                case "readiness":
                    Ready = Json.Raw(value, "ok") == "true";
                    Readiness = Failures(value);
                    break;
                default: return;
            }
            // Nobody is told half of the states.
            if (linked) Tell();
        }

        private static Meeting MeetingOf(string json)
        {
            return json.StartsWith("{", StringComparison.Ordinal) ? new Meeting(json) : null;
        }

        // The messages of the checks that failed: {"name":"cameras","ok":false,"message":"..."}
        private static string Failures(string json)
        {
            const string Failed = "\"ok\":false,\"message\":\"";
            var messages = new StringBuilder();
            for (var at = 0; (at = json.IndexOf(Failed, at, StringComparison.Ordinal)) >= 0; at += Failed.Length)
            {
                if (messages.Length > 0) messages.Append("; ");
                messages.Append(Json.Text(json.Substring(at), "message"));
            }
            return messages.ToString();
        }

        private bool Send(string line)
        {
            var bytes = Encoding.UTF8.GetBytes(line.Replace('\r', ' ').Replace('\n', ' ') + "\n");
            lock (gate)
            {
                if (socket == null || stream == null || !socket.Connected) return false;
                try
                {
                    stream.Write(bytes, 0, bytes.Length);
                    return true;
                }
                catch (IOException)
                {
                    // Half a line may have been sent: only a new connection helps.
                    socket.Close();
                    return false;
                }
                catch (AggregateException)
                {
                    socket.Close();
                    return false;
                }
                catch (ObjectDisposedException)
                {
                    return false;
                }
            }
        }

        private void Drop()
        {
            lock (gate)
            {
                if (socket != null) socket.Close();
                socket = null;
                stream = null;
            }
        }

        private void Tell()
        {
            var changed = Changed;
            if (changed != null && !ended.WaitOne(0)) changed(this, EventArgs.Empty);
        }

        private void Fail(string command, string code, string message)
        {
            var failed = CommandFailed;
            if (failed != null) failed(this, new CommandFailedEventArgs(command, code, message));
        }
    }
}
