using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace ModelTool;

internal static class Program
{
    private const string ExitCodes = """
        Exit codes:
          0  done; for check: the model passed
          1  check: the model did not pass
          2  the command line is wrong
          3  the model or checkpoint cannot be read, or does not fit the architecture
          4  the output exists or cannot be written

        Examples:
          modeltool architectures
          modeltool convert tnt_s_81.5.pth.tar --architecture tnt_s_patch16_224 --labels imagenet.txt -o tnt_s.onnx
          modeltool convert run/checkpoint.pth --entry model_ema --architecture biformer_tiny -o biformer_tiny.onnx
          modeltool describe biformer_small
          modeltool describe tnt_s.onnx --json
          modeltool check tnt_s.onnx --provider cuda
          modeltool consistent unet/model.onnx -o unet/story.onnx
        """;

    public static int Main(string[] arguments)
    {
        var root = new RootCommand("Converts checkpoints to ONNX, describes models and checks them.")
        {
            ArchitecturesCommand.Create(), ConvertCommand.Create(), DescribeCommand.Create(), CheckCommand.Create(),
            ConsistentCommand.Create(),
        };
        var help = root.Options.OfType<HelpOption>().Single();
        help.Action = new HelpWithExitCodes((HelpAction)help.Action!);
        var parsed = root.Parse(arguments);
        if (parsed.Action is ParseErrorAction)
        {
            foreach (var error in parsed.Errors)
                Console.Error.WriteLine(error.Message);
            Console.Error.WriteLine("--help shows all commands, options and examples.");
            return (int)ExitCode.Usage;
        }
        try
        {
            return parsed.Invoke(new() { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
        }
        catch (ToolException error)
        {
            Console.Error.WriteLine(error.Message);
            return (int)error.ExitCode;
        }
    }

    private sealed class HelpWithExitCodes(HelpAction help) : SynchronousCommandLineAction
    {
        public override int Invoke(ParseResult parseResult)
        {
            var result = help.Invoke(parseResult);
            parseResult.InvocationConfiguration.Output.WriteLine(ExitCodes);
            return result;
        }
    }
}
