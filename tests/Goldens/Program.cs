using System.CommandLine;
using System.Globalization;
using Microsoft.ML.Attention.Onnx.Goldens;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.OnnxRuntime;

var paths = new Argument<string[]>("paths")
{
    Description = "Case files (NAME.json with NAME.safetensors beside it) or folders, which are searched for cases.",
    Arity = ArgumentArity.OneOrMore,
};
var filter = new Option<string>("--filter") { Description = "Runs only the cases with this text in their path." };
var provider = new Option<string>("--provider") { Description = "Where the models run.", DefaultValueFactory = _ => "cpu" };
provider.AcceptOnlyFromAmong("cpu", "cuda");

var command = new RootCommand("Runs reference cases through ONNX Runtime and compares the results with those of the published code.")
{
    paths, filter, provider,
};
command.SetAction(arguments =>
{
    var modes = Modes(arguments.GetValue(provider)!);
    var (passed, failed) = (0, 0);
    foreach (var path in Cases(arguments.GetValue(paths)!, arguments.GetValue(filter)))
    {
        if (RunCase(path, modes))
            passed++;
        else
            failed++;
    }
    Console.WriteLine($"{passed} passed, {failed} failed");
    return failed == 0 && passed > 0 ? 0 : 1;
});
return command.Parse(args).Invoke();

static RunMode[] Modes(string provider) =>
[
    new("bodies", options => AppendProvider(options, provider), IsCuda: provider == "cuda"),
    new("kernels", options =>
    {
        AppendProvider(options, provider);
        KernelLibrary.Register(options, cuda: provider == "cuda");
    }, IsCuda: provider == "cuda"),
];

static void AppendProvider(SessionOptions options, string provider)
{
    if (provider != "cuda")
        return;
    // The reference was computed in float32; TF32, the provider's default, keeps 10 bits of a product's factors.
    using var cuda = new OrtCUDAProviderOptions();
    cuda.UpdateOptions(new() { ["device_id"] = "0", ["use_tf32"] = "0" });
    options.AppendExecutionProvider_CUDA(cuda);
}

static IEnumerable<string> Cases(string[] paths, string? filter) =>
    paths.SelectMany(path => Directory.Exists(path) ? CasesIn(path) : [path])
        .Where(path => filter is null || path.Contains(filter, StringComparison.OrdinalIgnoreCase));

static IEnumerable<string> CasesIn(string folder) =>
    Directory.EnumerateFiles(folder, "*.json", SearchOption.AllDirectories)
        .Where(file => File.Exists(Path.ChangeExtension(file, ".safetensors"))).Order(StringComparer.Ordinal);

static bool RunCase(string path, RunMode[] modes)
{
    var name = $"{Path.GetFileName(Path.GetDirectoryName(Path.GetFullPath(path)))}/{Path.GetFileNameWithoutExtension(path)}";
    try
    {
        var results = CaseRunner.Run(GoldenCase.Load(path), modes);
        var isRight = Array.TrueForAll(results, result => result.IsRight);
        var errors = modes.Zip(results).Select(pair => string.Create(CultureInfo.InvariantCulture,
            $"{pair.First.Name}: {pair.Second.Tensor} error {pair.Second.Error:0.0e+00} tolerance {pair.Second.Tolerance:0.0e+00}"));
        Console.WriteLine($"{name}  {string.Join("  ", errors)}  {(isRight ? "ok" : "FAIL")}");
        return isRight;
    }
    catch (Exception error)
    {
        // Whatever a case does, the cases after it are still run.
        Console.WriteLine($"{name}  {error.Message.ReplaceLineEndings(" ")}  FAIL");
        return false;
    }
}
