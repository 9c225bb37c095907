package controlplane

import (
	"flag"
	"fmt"
	"io"
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"gopkg.in/natefinch/lumberjack.v2"
	"k8s.io/klog/v2"
)

// The log is bounded: one current file and two older ones.
const (
	logMegabytes = 16
	logBackups   = 2
)

// logSink is the file that klog and etcd write to.
type logSink struct{ file *lumberjack.Logger }

// openLog points klog at path. Only a fatal message, after which klog ends the
// process, also goes to standard error.
func openLog(path string) (*logSink, error) {
	// lumberjack makes files 0600 but keeps the mode of one that exists.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	for name, value := range map[string]string{
		"logtostderr":     "false",
		"alsologtostderr": "false",
		"stderrthreshold": "FATAL",
		"one_output":      "true", // not once for each lower severity
	} {
		if err := flags.Set(name, value); err != nil {
			return nil, fmt.Errorf("set up log: %s: %w", name, err)
		}
	}
	l := &logSink{file: &lumberjack.Logger{Filename: path, MaxSize: logMegabytes, MaxBackups: logBackups}}
	klog.SetOutput(l.file)
	return l, nil
}

// close ends the use of the file. What goroutines of the API server still have
// to say after its end is dropped: writing would make the file again.
func (l *logSink) close() {
	klog.Flush()
	klog.SetOutput(io.Discard)
	_ = l.file.Close()
}

// zap is a logger for etcd on the same file, from warnings up.
func (l *logSink) zap() *zap.Logger {
	encoder := zap.NewProductionEncoderConfig()
	encoder.EncodeTime = zapcore.ISO8601TimeEncoder
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(encoder), zapcore.AddSync(l.file), zap.WarnLevel)
	return zap.New(core).Named("etcd")
}
