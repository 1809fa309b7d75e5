using System.Runtime.InteropServices;
using BatchScoring.Input;
using BatchScoring.Output;
using BatchScoring.Progress;
using BatchScoring.Scoring;
using Microsoft.ML;
using Spectre.Console;

namespace BatchScoring;

internal static class Program
{
    public static int Main(string[] arguments) => (int)ScoreCommand.Invoke(arguments, Run);

    private static ExitCode Run(JobOptions options)
    {
        using var cancellation = new CancellationTokenSource();
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Cancel);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Cancel);
        try
        {
            return Score(options, cancellation.Token);
        }
        catch (OperationCanceledException)
        {
            Console.Error.WriteLine("Cancelled. Finished parts are kept; the same command with --resume goes on with the rest.");
            return ExitCode.Cancelled;
        }
        catch (JobException error)
        {
            Console.Error.WriteLine(error.Message);
            if (options.LogLevel == LogLevel.Debug)
                Console.Error.WriteLine(error);
            return error.ExitCode;
        }

        // The first signal ends the job in an orderly way, a second one at once.
        void Cancel(PosixSignalContext context)
        {
            context.Cancel = !cancellation.IsCancellationRequested;
            cancellation.Cancel();
        }
    }

    private static ExitCode Score(JobOptions options, CancellationToken cancellation)
    {
        var shard = Shard.Parse(options.Shard, options.ShardCount, Environment.GetEnvironmentVariable);
        var inputs = InputList.Read(options.Input, options.Extensions, Console.In);
        if (inputs.Paths.Length == 0)
        {
            throw new JobException(ExitCode.Usage,
                $"Input '{options.Input}' names no file to score ({string.Join(", ", options.Extensions)}).");
        }
        var model = new ModelFile(options.Model);
        var manifest = JobManifest(options, inputs, model.Digest());
        using var scorer = model.Open(LoggingContext(options.LogLevel), options);
        using var output = OutputFolder.Open(options.Output, shard, manifest, options.ExistingOutput);
        var job = new ScoringJob(scorer, shard.Of(inputs.Paths), output, options.RowsPerPart, Display(options));
        var meter = job.Run(cancellation);
        if (!options.Quiet)
            Console.WriteLine(Summary(options, shard, output, meter));
        return options.FailOnBad && meter.Bad > 0 ? ExitCode.BadInputs : ExitCode.Done;
    }

    private static Manifest JobManifest(JobOptions options, InputList inputs, string modelDigest) => new(new()
    {
        ["inputs"] = $"{inputs.Paths.Length} paths, sha256 {inputs.Digest}",
        ["model"] = $"sha256 {modelDigest}",
        ["rows-per-part"] = options.RowsPerPart.ToString(),
        ["columns"] = string.Join(',', options.Columns),
        ["image-column"] = options.ImageColumn ?? "",
        ["preprocessing"] = options.Preprocessing.ToString(),
        ["labels"] = string.Join(',', options.Labels ?? []),
    });

    private static MLContext LoggingContext(LogLevel level)
    {
        var context = new MLContext();
        context.Log += (_, message) =>
        {
            var shown = message.Kind switch
            {
                Microsoft.ML.Runtime.ChannelMessageKind.Error => LogLevel.Error,
                Microsoft.ML.Runtime.ChannelMessageKind.Warning => LogLevel.Warning,
                _ => LogLevel.Debug,
            };
            if (shown <= level)
                Console.Error.WriteLine(message.Message);
        };
        return context;
    }

    private static IProgressDisplay Display(JobOptions options) =>
        options.Quiet ? new NoProgress()
        : Console.IsErrorRedirected ? new ProgressLines(Console.Error, TimeSpan.FromSeconds(10))
        : new ProgressBar(AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) }));

    private static string Summary(JobOptions options, Shard shard, OutputFolder output, RateMeter meter)
    {
        var rows = $"{meter.Done:N0} rows of shard {shard} in '{options.Output}', {meter.RowsPerSecond:N0} rows/s in this run.";
        return meter.Bad == 0 ? rows : $"{rows} {meter.Bad:N0} of them are bad: see '{output.BadRowsFile}'.";
    }
}
