using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using BatchScoring.Output;
using Microsoft.ML.Attention;

namespace BatchScoring;

/// <summary>The command line.</summary>
internal static class ScoreCommand
{
    private const string More = """
        Output:
          OUTPUT/part-SHARD-NUMBER.parquet  path, status (ok, missing, corrupt, failed), error, and the model's columns; every input
                                            is one row, in order, and rows that are not ok have empty scores
          OUTPUT/_bad-SHARD.jsonl           the rows that are not ok
          OUTPUT/_manifest-SHARD.json       what the rows depend on; --resume and the other shards are held to it

        Exit codes:
          0    done (bad inputs are counted and listed)
          1    done, some inputs are bad, and --fail-on-bad is given
          2    the command line or the input list is wrong
          3    the model cannot be loaded
          4    the output is occupied, belongs to another job or cannot be written
          130  cancelled by Ctrl-C or SIGTERM; go on with --resume

        Examples:
          Score all pictures under photos/:
            BatchScoring model.zip photos scores
          Go on after a kill at any moment:
            BatchScoring model.zip photos scores --resume
          Score an ONNX file with ImageNet's preprocessing and named classes:
            BatchScoring biformer_tiny.onnx photos scores --preset imagenet --image-size 224 --labels classes.txt
          Paths from another program:
            find photos -newer yesterday | BatchScoring model.zip - scores
          A Slurm array (sbatch --array=0-63) or a Kubernetes indexed job of 64 completions; the flags also serve a restarted task:
            BatchScoring model.zip photos.txt scores --shard auto --resume
            BatchScoring model.zip photos.txt scores --shard auto --shard-count 64 --resume
        """;

    private static readonly Argument<string> Model = new("MODEL")
    {
        Description = "A pipeline saved by mlContext.Model.Save (.zip) or an ONNX model (.onnx).",
    };

    private static readonly Argument<string> Input = new("INPUT")
    {
        Description = "A folder (searched recursively), a text file with one path a line, or - for such lines on standard input.",
    };

    private static readonly Argument<string> Output = new("OUTPUT") { Description = "The folder to write; shards of one job share it." };

    private static readonly Option<bool> Resume = new("--resume")
    {
        Description = "Go on with what the output folder holds; begins if it holds nothing.",
    };

    private static readonly Option<bool> Overwrite = new("--overwrite")
    {
        Description = "Remove what an earlier run of this shard wrote.",
    };

    private static readonly Option<string?> Shard = new("--shard")
    {
        Description = "Score one of n pieces of the input: i/n with i from 0, or auto for the one that Slurm " +
            "(SLURM_ARRAY_TASK_ID, _MIN and _COUNT) or Kubernetes (JOB_COMPLETION_INDEX, with --shard-count) names.",
        HelpName = "i/n|auto",
    };

    private static readonly Option<int?> ShardCount = new("--shard-count")
    {
        Description = "The number of pieces for --shard auto on Kubernetes.",
        HelpName = "n",
    };

    private static readonly Option<int> RowsPerPart = AtLeastOne(new("--rows-per-part")
    {
        Description = "Rows a part file; what a kill costs at most.",
        DefaultValueFactory = _ => 10_000,
        HelpName = "n",
    });

    private static readonly Option<string?> Columns = new("--columns")
    {
        Description = "The model's columns to write, separated by commas; without it those that hold scores, " +
            "or all that it adds where none does.",
        HelpName = "names",
    };

    private static readonly Option<string> Extensions = new("--extensions")
    {
        Description = "The files of a folder that are taken.",
        DefaultValueFactory = _ => "jpg,jpeg,png,bmp,gif,webp",
        HelpName = "names",
    };

    private static readonly Option<string?> ImageColumn = new("--image-column")
    {
        Description = "The column of the pipeline's input that takes paths (text) or decoded pictures. Columns of paths are found by " +
            "their names; ML.NET does not save columns of decoded pictures, so name those.",
        HelpName = "name",
    };

    private static readonly Option<ExecutionProvider> Provider = new("--provider")
    {
        Description = "Where ONNX models run, whatever the saved pipeline says; auto takes CUDA where it works.",
        DefaultValueFactory = _ => ExecutionProvider.Auto,
        HelpName = "auto|cpu|cuda",
    };

    private static readonly Option<int> BatchSize = AtLeastOne(new("--batch-size")
    {
        Description = "Rows a run of the model.",
        DefaultValueFactory = _ => 64,
        HelpName = "n",
    });

    private static readonly Option<bool> FailOnBad = new("--fail-on-bad")
    {
        Description = "End with exit code 1 if any input is bad.",
    };

    private static readonly Option<bool> Quiet = new("--quiet", "-q") { Description = "No progress and no summary." };

    private static readonly Option<LogLevel> Level = new("--log-level")
    {
        Description = "error, warning, information or debug (ML.NET's own messages too).",
        DefaultValueFactory = _ => LogLevel.Information,
        HelpName = "level",
    };

    /// <summary>Reads the command line; runs <paramref name="score"/> unless it asks for help or is wrong.</summary>
    public static ExitCode Invoke(string[] arguments, Func<JobOptions, ExitCode> score)
    {
        var command = new RootCommand("Scores files with a model and writes the results to Parquet.")
        {
            Model, Input, Output, Resume, Overwrite, Shard, ShardCount, RowsPerPart, Columns, Extensions, ImageColumn, Provider, BatchSize,
            FailOnBad, Quiet, Level,
        };
        foreach (var option in PreprocessingOptions.All)
            command.Add(option);
        command.Validators.Add(result =>
        {
            if (result.GetValue(Resume) && result.GetValue(Overwrite))
                result.AddError("--resume keeps what --overwrite removes; give one of them.");
        });
        var help = command.Options.OfType<HelpOption>().Single();
        help.Action = new HelpWithExamples((HelpAction)help.Action!);
        command.SetAction(parsed => (int)score(Read(parsed)));
        var result = command.Parse(arguments);
        if (result.Action is not ParseErrorAction)
            return (ExitCode)result.Invoke(new() { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
        foreach (var error in result.Errors)
            Console.Error.WriteLine(error.Message);
        Console.Error.WriteLine("--help shows all options and examples.");
        return ExitCode.Usage;
    }

    private static JobOptions Read(ParseResult parsed) => new()
    {
        Model = parsed.GetRequiredValue(Model),
        Input = parsed.GetRequiredValue(Input),
        Output = parsed.GetRequiredValue(Output),
        ExistingOutput = parsed.GetValue(Resume) ? ExistingOutput.Resume
            : parsed.GetValue(Overwrite) ? ExistingOutput.Overwrite
            : ExistingOutput.Refuse,
        Shard = parsed.GetValue(Shard),
        ShardCount = parsed.GetValue(ShardCount),
        RowsPerPart = parsed.GetValue(RowsPerPart),
        Columns = Names(parsed.GetValue(Columns)),
        Extensions = Names(parsed.GetValue(Extensions)),
        ImageColumn = parsed.GetValue(ImageColumn),
        Provider = parsed.GetValue(Provider),
        BatchSize = parsed.GetValue(BatchSize),
        FailOnBad = parsed.GetValue(FailOnBad),
        Quiet = parsed.GetValue(Quiet),
        LogLevel = parsed.GetValue(Level),
        Preprocessing = PreprocessingOptions.Read(parsed),
        Labels = PreprocessingOptions.Labels(parsed),
    };

    private static string[] Names(string? list) =>
        list?.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries) ?? [];

    private static Option<int> AtLeastOne(Option<int> option)
    {
        option.Validators.Add(result =>
        {
            if (result.Tokens is [var token] && int.TryParse(token.Value, out var value) && value < 1)
                result.AddError($"{option.Name} {value}: at least 1 is needed.");
        });
        return option;
    }

    private sealed class HelpWithExamples(HelpAction help) : SynchronousCommandLineAction
    {
        public override int Invoke(ParseResult parseResult)
        {
            var result = help.Invoke(parseResult);
            parseResult.InvocationConfiguration.Output.WriteLine(More);
            return result;
        }
    }
}
